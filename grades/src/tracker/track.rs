//! One component's history.

use crate::policy::{Cause, FreezePolicy};

/// One component's history.
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

/// Where a component stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Phase {
    /// It trains and is watched.
    Active,
    /// The noise is taken out of it over the `steps` updates that follow step `from`.
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

    /// The steps since its freeze was decided; 0 while it is active.
    pub(super) fn steps_since_decision(&self, step: u64) -> u64 {
        if self.is_active() { 0 } else { step.saturating_sub(self.decided) }
    }

    /// The factor on the learning rate for the update of this step.
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

/// A factor rounded to one of 16 levels; what is above 0 stays so.
pub(super) fn quantised(factor: f64) -> f64 {
    const LEVELS: f64 = 16.0;
    // Rounding up would make cooling longer by half a level on average; the middle of a level keeps its length.
    let level = (factor * LEVELS).round().clamp(0.0, LEVELS);
    if factor > 0.0 { level.max(0.5) / LEVELS } else { 0.0 }
}
