//! Reads configuration tables: checks every key and reports all problems at once.

pub mod field;
pub(crate) mod key;
mod names;
mod section;
mod table;
mod words;

pub use key::{DefaultValue, Key, KeyFacts, join_keys};
pub use names::{nearest, unknown_name};
pub use section::Section;
pub use table::{ConfigTable, table};
pub use words::{Words, words};
