//! BERT with a classification head, from and to Hugging Face model directories.
//!
//! [`BertClassifier::load`] reads `config.json` and the safetensors files of a base model or of a complete
//! classifier; the variables have the names of Hugging Face's `BertForSequenceClassification`.
//! [`BertClassifier::save`] writes a directory that `transformers` loads.

mod activation;
mod adapted;
mod checkpoint;
mod classifier;
mod config;
mod encoder;
mod error;
mod fill;
mod layers;
mod save;

pub use activation::Activation;
pub use adapted::{LABELS_FILE, load_adapted};
pub use classifier::{BertClassifier, LoadOptions, LoadReport};
pub use config::BertConfig;
pub use error::{Error, Result};
