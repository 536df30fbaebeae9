//! Transformers from and to Hugging Face model directories, on [`tch`].
//!
//! | module | models | trained to |
//! |---|---|---|
//! | [`bert`] | BERT with a classification head | label sentences |
//! | [`decoder`] | Llama, Mistral, Qwen3, Phi-3 and Phi-4 | predict the next token |
//!
//! [`bert::BertClassifier::load`] and [`decoder::Decoder::load`] read `config.json` and the safetensors files, whole or
//! sharded. The variables have Hugging Face's names, so that freezing patterns and adapters of the `grades` family
//! apply. `save` writes a directory that `transformers` loads. [`ModelConfig::load`] reads which family a directory is
//! of, [`Model`] is what both have in common, and [`flops`] counts the cost of a step.
//!
//! A decoder from scratch, trained by one step and saved:
//!
//! ```
//! use grades_models::decoder::{Backward, Decoder, LoadOptions, Targets, Tokens};
//! use tch::Tensor;
//! use tch::nn::OptimizerConfig;
//!
//! // A model directory with nothing but its configuration.
//! let base = std::env::temp_dir().join("grades-models-example");
//! std::fs::create_dir_all(&base)?;
//! std::fs::write(
//!     base.join("config.json"),
//!     r#"{"model_type": "llama", "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
//!         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}"#,
//! )?;
//! let model = Decoder::draw(&base, LoadOptions::default(), 1)?;
//! let mut optimizer = tch::nn::Adam::default().build(model.var_store(), 0.01)?;
//!
//! // One sequence of six tokens; from each of the first five the next one is predicted.
//! let tokens = Tokens::from(Tensor::from_slice(&[1i64, 5, 6, 7, 8, 2]).view([1, 6]));
//! let targets =
//!     Targets { positions: Tensor::from_slice(&[0i64, 1, 2, 3, 4]), ids: Tensor::from_slice(&[5i64, 6, 7, 8, 2]) };
//! let how = Backward { scale: 1.0 / 5.0, checkpointing: false, dropout: None };
//! let before = f64::try_from(model.losses(&tokens, &targets)?.mean(tch::Kind::Float))?;
//! let pass = model.backward(&tokens, &targets, how)?;
//! pass.rest.f_backward()?;
//! optimizer.step();
//! let after = f64::try_from(model.losses(&tokens, &targets)?.mean(tch::Kind::Float))?;
//! assert!(after < before);
//!
//! // `transformers.AutoModelForCausalLM.from_pretrained` reads this.
//! model.save(&base.join("trained"))?;
//! let (again, _) = Decoder::load(&base.join("trained"), LoadOptions::default())?;
//! assert_eq!(again.config().num_hidden_layers, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod activation;
pub mod bert;
pub mod decoder;
mod error;
mod family;
pub mod files;
pub mod flops;
mod model;
mod prefix;

pub use error::{Error, Result};
pub use family::{Family, ModelConfig};
pub use model::Model;
pub use prefix::Prefix;
