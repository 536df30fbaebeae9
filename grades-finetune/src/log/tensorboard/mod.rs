//! Event files for TensorBoard: scalars, and freezes as text.
//!
//! TensorBoard reads all files of a folder in the order of their names and shows each tag over the steps. A file is a
//! sequence of records with checksums (`record.rs`), each of them one event (`message.rs`), so a run that is killed leaves
//! all whole events readable.

mod file;
mod logger;
mod message;
mod record;

pub use file::EventFile;
pub use logger::TensorBoard;
