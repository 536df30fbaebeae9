//! Sequences for decoders: texts, and prompts with responses.
//!
//! [`read_examples`] reads a file; [`Encoder`] makes token ids of the examples, by the model's chat template where
//! they are conversations; [`Sequences`] are packed into common rows or not, and [`collate`] makes batches of them.

mod batch;
mod description;
mod encode;
mod example;
mod layout;
mod message;
mod packing;
mod read;
mod sequences;
mod template;
mod turns;
mod vocabulary;

pub use batch::{SequenceBatch, collate, rows};
pub use description::describe;
pub use encode::{EncodeOptions, Encoder, TooLong};
pub use example::{Example, Examples, Form};
pub use layout::KeyNames;
pub use message::{Message, Variables};
pub use read::read_examples;
pub use sequences::{Choice, Question, Sequence, Sequences};
pub(crate) use template::{COMMAND, end_idle_process, serve};
pub use template::{ChatTemplate, Date, isolate_templates};
pub use turns::Turns;
pub use vocabulary::{Encoded, Vocabulary};
