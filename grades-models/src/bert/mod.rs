//! BERT with a classification head.
//!
//! [`BertClassifier::load`] reads a base model or a complete classifier; the variables have the names of Hugging
//! Face's `BertForSequenceClassification`.

mod adapter;
mod classifier;
mod config;
mod encoder;
mod initialize;
mod layers;
mod options;
mod save;

pub use adapter::{LABELS_FILE, load_adapted, load_adapted_with};
pub use classifier::BertClassifier;
pub use config::BertConfig;
pub use options::{LoadOptions, LoadReport};
