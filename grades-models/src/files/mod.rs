//! Files of a model directory: `config.json` key by key, weights, and the tokenizer's files.

pub mod atomic;
mod directory;
mod dtype;
mod json;
mod keys;
mod quantized;
mod random;
mod sidecars;
mod sizes;
mod tensors;
mod variables;
mod weights;
mod write;

pub(crate) use dtype::{Dtypes, dtype_name, lowest_finite};
pub(crate) use json::parse_json;
pub(crate) use keys::Keys;
pub(crate) use quantized::{QUANTIZATION, name_quantization};
pub(crate) use random::draw_normal;
pub(crate) use sidecars::Sidecars;
pub(crate) use sizes::Sizes;
pub use tensors::{read_file, write_file};
pub(crate) use variables::variable;
pub(crate) use weights::Weights;
pub(crate) use write::{Entry, save_directory};
