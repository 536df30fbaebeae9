//! Sequences for decoders: texts, and prompts with responses.
//!
//! [`read_examples`] reads a file; [`Encoder`] makes token ids of the examples, by the model's chat template where
//! they are conversations; [`Sequences`] holds them and makes batches, packed into common rows or not.

mod batch;
mod encode;
mod example;
mod packing;
mod read;
mod sequences;
mod template;
mod vocabulary;

pub use batch::{SequenceBatch, collate, rows};
pub use encode::{EncodeOptions, Encoder, TooLong, Turns};
pub use example::{Example, Examples, Form, Message};
pub use read::{KeyNames, read_examples};
pub use sequences::{Choice, Question, Sequence, Sequences};
pub use template::ChatTemplate;
pub use vocabulary::Vocabulary;
