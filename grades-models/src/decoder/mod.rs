//! Decoders: Llama, Mistral, Qwen3, and Phi-3 with Phi-4.
//!
//! All are one model with options: grouped keys and values, a head width of its own, norms of queries and keys,
//! fused matrices, a sliding window, biases, tied embeddings, Llama 3.1's scaling of the rotation.
//! [`Decoder::load`] reads a directory, [`Decoder::forward`] gives logits, [`Decoder::backward`] a loss and its
//! gradients, [`Decoder::generate`] and
//! [`Decoder::answer`] answers, [`Decoder::save`] writes a directory that `transformers` loads.

mod adapters;
mod answer;
mod architecture;
mod attention;
mod backward;
mod block;
mod blocks;
mod cache;
mod config;
mod forward;
mod fused;
mod generate;
mod layers;
mod load;
mod loss;
mod mask;
mod model;
mod rope;
mod sampling;
mod save;

pub use answer::OnToken;
pub use architecture::Architecture;
pub use backward::{Backward, Pass};
pub use cache::Cache;
pub use config::DecoderConfig;
pub use forward::{Packed, Tokens};
pub use fused::FusedMatrix;
pub use generate::Generation;
pub use load::{LoadOptions, LoadReport};
pub use loss::Targets;
pub use model::Decoder;
pub use rope::{Llama3Scaling, RopeConfig};
pub use sampling::Sampling;
