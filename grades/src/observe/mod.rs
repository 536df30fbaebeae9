//! Observers: they see what each step did, and cannot change it.

mod freeze_log;
mod statistics_log;

pub use freeze_log::FreezeLog;
pub use statistics_log::{ComponentRecord, StatisticsHeader, StatisticsLog, StatisticsRecord, Thresholds};

use crate::error::Result;
use crate::tracker::StepReport;

/// Sees the report of every optimizer step.
///
/// An observer that fails does not stop the training: the failure is kept and logged, and the observer is not
/// called again. A closure is an observer too.
pub trait StepObserver {
    /// Called after each optimizer step, freezes included.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from going on, such as a file that cannot be written.
    fn on_step(&mut self, report: &StepReport) -> Result<()>;
}

impl<F: FnMut(&StepReport) -> Result<()>> StepObserver for F {
    fn on_step(&mut self, report: &StepReport) -> Result<()> {
        self(report)
    }
}
