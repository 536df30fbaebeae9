//! Reads configuration tables: checks every key and reports all problems at once.

mod names;
mod section;

pub use names::nearest;
pub(crate) use names::unknown_name;
pub use section::{Key, Section};
