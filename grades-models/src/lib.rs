//! Models from and to Hugging Face model directories.
//!
//! - [`BertClassifier`]: BERT with a classification head.
//! - [`decoder`]: Llama, Mistral, Qwen3 and Phi-3/Phi-4, which predict the next token.
//!
//! Each `load` reads `config.json` and the safetensors files, whole or sharded; the variables have Hugging Face's
//! names; each `save` writes a directory that `transformers` loads. [`Family::of`] says which of them a directory holds.

mod activation;
mod bert;
pub mod decoder;
mod error;
mod family;
pub mod files;
pub mod flops;

pub use activation::Activation;
pub use bert::{BertClassifier, BertConfig, LABELS_FILE, LoadOptions, LoadReport, load_adapted};
pub use error::{Error, Result};
pub use family::Family;
