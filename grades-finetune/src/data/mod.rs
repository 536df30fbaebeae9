//! Labelled sentences: reading them from files, tokenizing them, and batches of them. [`sequence`] has the data of
//! decoders.
//!
//! [`read`] turns a TSV, CSV or JSONL file into [`Records`]; [`Labels`] numbers the labels;
//! [`Tokenizer`] makes a [`Dataset`] of token ids; its batches are lists of indices that depend on
//! nothing but the data, the seed and the epoch, and [`Dataset::collate`] makes tensors of one.

mod column;
mod content;
mod csv;
mod dataset;
mod description;
mod error;
mod jsonl;
mod labels;
mod names;
mod read;
mod record;
mod row;
mod sampler;
pub mod sequence;
mod table;
mod texts;
mod tokenizer;
mod tsv;

pub use column::{Column, Format, Header};
pub use dataset::{Batch, Dataset};
pub use description::describe;
pub use error::{Error, Result};
pub use labels::Labels;
pub use read::read;
pub use record::{Columns, Record, Records, Source};
pub use sampler::{Sampler, SamplerOptions};
pub use texts::TextReader;
pub(crate) use tokenizer::is_guarded;
pub use tokenizer::{Limits, Tokenizer};
