//! Logging: the [`Event`]s of a run, and the [`Logger`]s that receive them.
//!
//! A logger sees a run and cannot change it. Those of a run write JSON lines, show progress on standard error, and write
//! event files for TensorBoard; [`MemoryLogger`] collects everything for a caller in the same process.

mod event;
mod files;
mod jsonl;
mod loggers;
mod memory;
mod progress;
mod summary_table;
pub mod tensorboard;

pub use event::{Event, Logger, ProgressState};
pub(crate) use files::{FileLogger, LogFiles};
pub(crate) use loggers::Loggers;
pub use memory::MemoryLogger;
pub use progress::Progress;
pub(crate) use progress::duration;
pub use summary_table::summary_table;
