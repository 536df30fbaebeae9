//! The end of a run.

use crate::error::Error;
use crate::tracker::StepReport;

/// The end of a run, from [`FreezingOptimizer::finish`](crate::FreezingOptimizer::finish).
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub struct Finished<O> {
    /// The inner optimizer; frozen parameters still have `requires_grad` off.
    pub optimizer: O,
    /// The report of the last step's deferred statistics, if there were any.
    pub report: Option<StepReport>,
    /// The errors of observers that failed since they were last taken.
    pub observer_errors: Vec<Error>,
}
