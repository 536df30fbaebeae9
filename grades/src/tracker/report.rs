//! What an optimizer step did.

use super::FreezeEvent;
#[cfg(feature = "torch")]
use super::{Check, FreezeTracker};
use crate::policy::Cause;
use crate::statistic::GradientSnapshot;

/// What one call of `step` did.
///
/// Where statistics are read at the next step, `grad_norm`, `snapshot`, `compared` and `non_finite` are those of the step before, and
/// so are the events that a policy decided; the snapshot and each event name their step.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StepReport {
    /// The optimizer step, counted from 1.
    pub step: u64,
    /// The optimizer steps that the run is planned for.
    pub total_steps: u64,
    /// Whether an update was applied; not when all components were frozen already.
    pub applied: bool,
    /// The optimizer's learning rate, where it can be read.
    pub learning_rate: Option<f64>,
    /// The L2 norm of all gradients before clipping, where it was computed.
    pub grad_norm: Option<f64>,
    /// The statistics, when this step was checked.
    pub snapshot: Option<GradientSnapshot>,
    /// What the policy of each component compared with what, in the order of the components, when this step was
    /// checked; `None` for one that is not asked, being frozen or cooling, or that has nothing to compare yet.
    pub compared: Vec<Option<Cause>>,
    /// What happened to components: what began to cool, froze or was thawed.
    pub events: Vec<FreezeEvent>,
    /// The names of the components whose statistics were not finite.
    pub non_finite: Vec<String>,
    /// How many components cool after the step.
    pub cooling: usize,
    /// How many components are frozen after the step.
    pub frozen: usize,
    /// How many components there are.
    pub total: usize,
    /// Whether the run has frozen what it meant to freeze, so that training should end.
    pub should_stop: bool,
}

impl StepReport {
    /// The report of an optimizer step of a run that has so many components, before anything froze.
    pub fn new(step: u64, total_steps: u64, total: usize) -> Self {
        Self {
            step,
            total_steps,
            applied: false,
            learning_rate: None,
            grad_norm: None,
            snapshot: None,
            compared: Vec::new(),
            events: Vec::new(),
            non_finite: Vec::new(),
            cooling: 0,
            frozen: 0,
            total,
            should_stop: false,
        }
    }

    /// Brings the counts up to date with the tracker.
    #[cfg(feature = "torch")]
    pub(crate) fn take_counts(&mut self, tracker: &FreezeTracker) {
        self.cooling = tracker.cooling();
        self.frozen = tracker.frozen();
        self.should_stop = tracker.should_stop();
    }

    /// Takes in what a check found.
    #[cfg(feature = "torch")]
    pub(crate) fn take_check(&mut self, check: Check, snapshot: GradientSnapshot, tracker: &FreezeTracker) {
        let name = |index: &usize| tracker.components()[*index].name.clone();
        self.non_finite = check.non_finite.iter().map(name).collect();
        self.compared = check.compared;
        self.events.extend(check.events);
        self.snapshot = Some(snapshot);
        self.take_counts(tracker);
    }
}
