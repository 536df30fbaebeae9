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
        let mut schedule = Self {
            total_steps,
            grace_steps: 0,
            check_every: config.check_every(),
            stop_at: config.stop_at(),
            cooldown: config.cooldown(),
            cooling: config.cooling(),
        };
        if problems.is_empty() {
            let before_deadline = schedule.first_deadline().saturating_sub(1);
            schedule.grace_steps =
                config.grace().steps(total_steps, config.epoch_steps(), before_deadline, &mut problems);
        }
        problems.into_result(schedule)
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

    /// Returns the first check at which all components that have trained from the start must cool; the run's end where they
    /// need not.
    pub(super) fn first_deadline(&self) -> u64 {
        let every = self.check_every.max(1);
        let step = |check: u64| check.saturating_mul(every);
        // What a deadline asks for grows with the step, and what is left falls.
        let (mut low, mut high) = (0, (self.total_steps / every).saturating_add(1));
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.deadline(step(middle), 0).is_some() { high = middle } else { low = middle }
        }
        step(high).min(self.total_steps)
    }

    fn left(&self, step: u64) -> u64 {
        self.total_steps.saturating_sub(step)
    }
}
