//! Labelled sentences: reading them from files, tokenizing them, and batches of them. [`sequence`] has the data of
//! decoders.
//!
//! [`read`] turns a TSV, CSV or JSONL file into [`Records`]; [`Labels`] numbers the labels;
//! [`Tokenizer`] makes a [`Dataset`] of token ids; its batches are lists of indices that depend on
//! nothing but the data, the seed and the epoch, and [`Dataset::collate`] makes tensors of one.

mod column;
mod csv;
mod dataset;
mod error;
mod jsonl;
mod labels;
mod order;
mod read;
pub mod sequence;
mod table;
mod tokenizer;
mod tokenizer_file;
mod tsv;

pub use column::{Column, Format, Header};
pub use dataset::{Batch, Dataset};
pub use error::{Error, Result};
pub use labels::Labels;
pub use order::{Sampler, SamplerOptions};
pub use read::{Record, Records, Source, read};
pub use tokenizer::{Limits, Tokenizer};
