//! The observers of a run, and the errors of those that failed.

use std::fmt;

use crate::error::Error;
use crate::observe::StepObserver;
use crate::tracker::StepReport;

/// The observers of a run. One that fails is removed, and its error is stored.
#[derive(Default)]
pub(super) struct Observers {
    list: Vec<Box<dyn StepObserver>>,
    errors: Vec<Error>,
}

impl Observers {
    pub(super) fn add(&mut self, observer: impl StepObserver + 'static) {
        self.list.push(Box::new(observer));
    }

    /// Sends a report to every observer.
    pub(super) fn notify(&mut self, report: &StepReport) {
        let errors = &mut self.errors;
        self.list.retain_mut(|observer| match observer.on_step(report) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(target: "grades", step = report.step, %error, "an observer failed and is removed");
                errors.push(error);
                false
            }
        });
    }

    /// Returns the errors since the last call.
    pub(super) fn take_errors(&mut self) -> Vec<Error> {
        std::mem::take(&mut self.errors)
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observers").field("count", &self.list.len()).field("errors", &self.errors).finish()
    }
}
