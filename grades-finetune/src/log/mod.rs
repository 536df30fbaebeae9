//! Logging: the [`Event`]s of a run, and the [`Logger`]s that receive them.
//!
//! A logger sees a run and cannot change it. Those of a run write JSON lines, show progress on standard error, and write
//! event files for TensorBoard; [`MemoryLogger`] collects everything for a caller in the same process.

mod files;
mod jsonl;
mod loggers;
mod memory;
mod progress;
mod summary_table;
pub mod tensorboard;

pub(crate) use files::{FileLogger, LogFiles};
pub(crate) use loggers::Loggers;
pub use memory::MemoryLogger;
pub(crate) use progress::duration;
pub use progress::{Progress, ProgressState};
pub use summary_table::summary_table;

use anyhow::Result;
use grades::tracker::StepReport;

use crate::records::{EvalRecord, StepRecord, StopReason};

/// Something that happened in a run.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A fact for the user.
    Note(&'a str),
    /// Something is wrong, but the run goes on.
    Warning(&'a str),
    /// The optimizer finished a step: comparisons, cool-downs, freezes and thaws.
    Report(&'a StepReport),
    /// Adapters were merged into their layers after a step.
    Merged {
        /// The step.
        step: u64,
        /// The names of the layers.
        layers: &'a [String],
    },
    /// The loss of a step is known. On a GPU this comes some steps later.
    Step(&'a StepRecord),
    /// A step ended.
    Progress(&'a ProgressState),
    /// The model was evaluated on `data.eval`.
    Evaluation(&'a EvalRecord),
    /// The user asked for an end.
    Interrupted,
    /// The last step is done; the final evaluation follows, unless the run failed.
    Stopped(StopReason),
}

/// Receives the events of a run.
///
/// A logger that fails does not stop the run: the failure is reported at the end, and the logger receives no more events.
pub trait Logger {
    /// Logs an event.
    ///
    /// # Errors
    ///
    /// When it cannot go on, as with a file that cannot be written.
    fn log(&mut self, event: &Event<'_>) -> Result<()>;
}

impl<L: Logger + ?Sized> Logger for &mut L {
    fn log(&mut self, event: &Event<'_>) -> Result<()> {
        (**self).log(event)
    }
}
