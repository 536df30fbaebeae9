//! Observers get the report of each step, and cannot change it.

mod freeze_log;
mod statistics_log;

pub use freeze_log::FreezeLog;
pub use statistics_log::{ComponentRecord, StatisticsHeader, StatisticsLog, StatisticsRecord, Thresholds};

use crate::error::Result;
use crate::tracker::StepReport;

/// Gets the report of every optimizer step.
///
/// An observer that fails does not stop the training: its error is logged and stored
/// (`FreezingOptimizer::take_observer_errors`), and it is not called again. A closure is an observer too.
pub trait StepObserver {
    /// Receives the report of each optimizer step, freezes included.
    ///
    /// # Errors
    ///
    /// Any failure after which it cannot go on, such as a file that cannot be written.
    fn on_step(&mut self, report: &StepReport) -> Result<()>;
}

impl<F: FnMut(&StepReport) -> Result<()>> StepObserver for F {
    fn on_step(&mut self, report: &StepReport) -> Result<()> {
        self(report)
    }
}
