//! The history of one component.

use crate::policy::{Cause, FreezePolicy};

/// The history of one component.
#[derive(Debug, Clone)]
pub(super) struct Track {
    pub(super) policy: Box<dyn FreezePolicy>,
    /// Finite samples since it began to train.
    pub(super) samples: u64,
    /// The step after which it began to train: 0, or that of its last thaw.
    pub(super) since: u64,
    pub(super) phase: Phase,
    /// The step at which its freeze was decided last.
    pub(super) decided: u64,
}

/// The state of a component.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Phase {
    /// It trains, and its policy is asked.
    Active,
    /// It cools over the `steps` updates that follow step `from`.
    Cooling { from: u64, steps: u64, cause: Cause },
    /// It does not train.
    Frozen { at: u64 },
}

impl Track {
    pub(super) fn new(policy: Box<dyn FreezePolicy>) -> Self {
        Self { policy, samples: 0, since: 0, phase: Phase::Active, decided: 0 }
    }

    pub(super) fn is_active(&self) -> bool {
        self.phase == Phase::Active
    }

    /// Returns the steps since its freeze was decided; 0 while it is active.
    pub(super) fn steps_since_decision(&self, step: u64) -> u64 {
        if self.is_active() { 0 } else { step.saturating_sub(self.decided) }
    }

    /// Returns the learning-rate factor for the update of this step.
    pub(super) fn factor(&self, step: u64) -> f64 {
        match self.phase {
            Phase::Active => 1.0,
            Phase::Frozen { .. } => 0.0,
            Phase::Cooling { from, steps, .. } => {
                quantised(1.0 - step.saturating_sub(from) as f64 / (steps + 1) as f64)
            }
        }
    }
}

/// Rounds a factor to one of 16 levels; a factor above 0 stays above 0.
pub(super) fn quantised(factor: f64) -> f64 {
    const LEVELS: f64 = 16.0;
    // Rounding up would make the cool-down half a level longer on average; rounding to the nearest does not.
    let level = (factor * LEVELS).round().clamp(0.0, LEVELS);
    if factor > 0.0 { level.max(0.5) / LEVELS } else { 0.0 }
}
