//! The report of an optimizer step.

use super::FreezeEvent;
#[cfg(feature = "torch")]
use super::FreezeTracker;
use crate::policy::Cause;
use crate::statistic::GradientSnapshot;

/// The outcome of a check.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Check {
    /// The components that begin to cool, freeze or thaw now, in the order of the components.
    pub events: Vec<FreezeEvent>,
    /// The positions of the components whose statistics were not finite; they were skipped.
    pub non_finite: Vec<usize>,
    /// The comparison that the policy of each active component made, in the order of the components: the cause of its
    /// decision to freeze, else what [`FreezePolicy::compares`](crate::policy::FreezePolicy::compares) returns. Empty unless
    /// [`FreezeTracker::record_comparisons`](super::FreezeTracker::record_comparisons) is set.
    pub compared: Vec<Option<Cause>>,
}

/// The report of one optimizer step.
///
/// Its numbers are those of `step`. The measurements are a value of their own, [`checked`](Self::checked), because
/// they may arrive one step late; it and every event name the step that they belong to.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StepReport {
    /// The optimizer step, counted from 1.
    pub step: u64,
    /// The number of optimizer steps that the run is planned for.
    pub total_steps: u64,
    /// Whether an update was applied; false for a skipped step, and once all components are frozen.
    pub applied: bool,
    /// The optimizer's learning rate, where it can be read.
    pub learning_rate: Option<f64>,
    /// The gradients that were measured, if any: those of this step, or of the step before where statistics are
    /// deferred.
    pub checked: Option<Checked>,
    /// The components that began to cool, froze or were thawed.
    pub events: Vec<FreezeEvent>,
    /// The number of components that cool after the step.
    pub cooling: usize,
    /// The number of components that are frozen after the step.
    pub frozen: usize,
    /// The number of components.
    pub total: usize,
    /// Whether training should end: the share `stop_at` of the components is frozen.
    pub should_stop: bool,
}

/// The gradients of one step as they were measured, and the comparisons that the policies made.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Checked {
    /// The optimizer step whose gradients these are, counted from 1.
    pub step: u64,
    /// The L2 norm of all gradients before clipping, where it was computed.
    pub grad_norm: Option<f64>,
    /// The statistics; `None` when the policies were not asked at this step.
    pub snapshot: Option<GradientSnapshot>,
    /// The comparison that the policy of each component made, in the order of the components; empty in runs
    /// without observers, unless they ask for it (`FreezingOptimizer::with_comparisons`).
    /// `None` for a component that was not asked, because it cools or is frozen, or whose policy has nothing to
    /// compare yet.
    pub compared: Vec<Option<Cause>>,
    /// The names of the components whose statistics were not finite.
    pub non_finite: Vec<String>,
}

impl Checked {
    /// Creates the measurements of an optimizer step, without any value yet.
    pub fn new(step: u64) -> Self {
        Self { step, grad_norm: None, snapshot: None, compared: Vec::new(), non_finite: Vec::new() }
    }

    /// Adds the outcome of a check of `snapshot`, and returns its events.
    #[cfg(feature = "torch")]
    pub(crate) fn record(
        &mut self,
        check: Check,
        snapshot: GradientSnapshot,
        tracker: &FreezeTracker,
    ) -> Vec<FreezeEvent> {
        let name = |index: &usize| tracker.components()[*index].name.clone();
        self.non_finite = check.non_finite.iter().map(name).collect();
        self.compared = check.compared;
        self.snapshot = Some(snapshot);
        check.events
    }
}

impl StepReport {
    /// Creates the report of an optimizer step of a run with `total` components, before anything froze.
    pub fn new(step: u64, total_steps: u64, total: usize) -> Self {
        Self {
            step,
            total_steps,
            applied: false,
            learning_rate: None,
            checked: None,
            events: Vec::new(),
            cooling: 0,
            frozen: 0,
            total,
            should_stop: false,
        }
    }

    /// Sets the counts to those of the tracker.
    #[cfg(feature = "torch")]
    pub(crate) fn count(&mut self, tracker: &FreezeTracker) {
        self.cooling = tracker.cooling();
        self.frozen = tracker.frozen();
        self.should_stop = tracker.should_stop();
    }
}
