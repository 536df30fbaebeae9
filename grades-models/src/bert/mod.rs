//! BERT with a classification head.
//!
//! [`BertClassifier::load`] reads a base model or a complete classifier; the variables have the names of Hugging
//! Face's `BertForSequenceClassification`.

mod adapted;
mod classifier;
mod config;
mod encoder;
mod fill;
mod layers;
mod save;

pub use adapted::{LABELS_FILE, load_adapted};
pub use classifier::{BertClassifier, LoadOptions, LoadReport};
pub use config::BertConfig;
