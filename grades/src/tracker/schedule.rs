//! The schedule of a run's checks.

use crate::config::{Cooling, FreezingConfig};
use crate::error::{Problems, Result};
use crate::policy::{Cause, Cooldown, Measure};

/// When checks happen and what ends a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Schedule {
    pub(super) total_steps: u64,
    pub(super) grace_steps: u64,
    pub(super) check_every: u64,
    pub(super) stop_at: f64,
    pub(super) cooldown: Cooldown,
    pub(super) cooling: Cooling,
}

impl Schedule {
    /// Creates the schedule of a run of `total_steps` optimizer steps.
    pub(super) fn new(config: &FreezingConfig, total_steps: u64) -> Result<Self> {
        let mut problems = Problems::default();
        config.check(&mut problems);
        if total_steps == 0 {
            problems.push("total_steps", "expected at least 1 optimizer step, found 0");
        }
        // 0.55 × 100 is a little above 55 in binary; the paper's ⌈α·T⌉ means 55.
        let grace_steps = (config.grace() * total_steps as f64 - 1e-9).ceil().max(0.0) as u64;
        problems.into_result(Self {
            total_steps,
            grace_steps,
            check_every: config.check_every(),
            stop_at: config.stop_at(),
            cooldown: config.cooldown(),
            cooling: config.cooling(),
        })
    }

    /// Returns the steps that a component cools from now on when it has trained since a step, cut short at the run's end.
    pub(super) fn cooling_steps(&self, step: u64, since: u64) -> u64 {
        self.cooldown.steps(step.saturating_sub(since)).min(self.left(step))
    }

    /// Returns why a component must cool now, whatever its policy says: from the next check on, the run would end before
    /// it has cooled.
    pub(super) fn deadline(&self, step: u64, since: u64) -> Option<Cause> {
        let next = step.saturating_add(self.check_every);
        let needed = self.cooldown.steps(next.saturating_sub(since)).saturating_add(self.check_every - 1);
        let left = self.left(step);
        (!self.cooldown.is_off() && left <= needed)
            .then(|| Cause::new("deadline", Measure::StepsLeft, left as f64, needed as f64))
    }

    fn left(&self, step: u64) -> u64 {
        self.total_steps.saturating_sub(step)
    }
}
