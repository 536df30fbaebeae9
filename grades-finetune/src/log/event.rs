//! The events of a run, and the loggers that receive them.

use anyhow::Result;
use grades::tracker::StepReport;

use crate::records::{ComponentCounts, EvalRecord, StepRecord, StopReason};
use crate::state::Counters;

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
/// A logger that fails does not stop the run. One that returns an error receives no more events, and the error is reported at the
/// end; one that can go on warns instead.
pub trait Logger {
    /// Logs an event.
    ///
    /// # Errors
    ///
    /// When it cannot go on, as with a file that cannot be written.
    fn log(&mut self, event: &Event<'_>) -> Result<()>;

    /// Returns a warning when it has begun to fail, once per failure.
    fn new_warning(&mut self) -> Option<String> {
        None
    }

    /// Returns a warning about events that it could not write, at the end of a run.
    fn incomplete(&mut self) -> Option<String> {
        None
    }
}

impl<L: Logger + ?Sized> Logger for &mut L {
    fn log(&mut self, event: &Event<'_>) -> Result<()> {
        (**self).log(event)
    }

    fn new_warning(&mut self) -> Option<String> {
        (**self).new_warning()
    }

    fn incomplete(&mut self) -> Option<String> {
        (**self).incomplete()
    }
}

/// The progress of a run after a step.
#[derive(Debug, Clone, Copy)]
pub struct ProgressState {
    /// The step.
    pub step: u64,
    /// The last loss; `None` while the losses of the first steps are still on the device.
    pub loss: Option<f64>,
    /// The learning rate of the step.
    pub learning_rate: f64,
    /// The components that cool or are frozen.
    pub components: ComponentCounts,
    /// Examples per second of training so far.
    pub examples_per_second: f64,
    /// Training seconds so far.
    pub seconds: f64,
}

impl ProgressState {
    /// Makes the progress after a step from the counters of the run.
    pub fn new(step: u64, learning_rate: f64, components: ComponentCounts, counters: &Counters) -> Self {
        let seconds = counters.clock.train_seconds();
        let examples_per_second = counters.totals.examples as f64 / seconds;
        Self { step, loss: counters.last_loss, learning_rate, components, examples_per_second, seconds }
    }
}
