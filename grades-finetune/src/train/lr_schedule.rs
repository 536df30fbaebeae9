//! The learning rate schedule.

use crate::config::{ScheduleConfig, ScheduleName};

/// The learning rate over a run: a linear warm-up from 0, then the schedule's own curve.
///
/// The values are those of Hugging Face's `get_linear_schedule_with_warmup` and
/// `get_cosine_schedule_with_warmup`, whose step 0 is our step 1.
///
/// ```
/// use grades_finetune::config::{ScheduleConfig, ScheduleName};
/// use grades_finetune::train::LrSchedule;
///
/// let config = ScheduleConfig { name: ScheduleName::Linear, warmup: 0.2 };
/// let schedule = LrSchedule::new(&config, 1.0, 10);
/// let rates: Vec<f64> = (1..=10).map(|step| schedule.at(step)).collect();
/// assert_eq!(rates, [0.0, 0.5, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct LrSchedule {
    name: ScheduleName,
    highest: f64,
    warmup: u64,
    total: u64,
}

impl LrSchedule {
    /// Makes the schedule of a run of `total` optimizer steps with this highest rate.
    pub fn new(schedule: &ScheduleConfig, highest: f64, total: u64) -> Self {
        let warmup = (schedule.warmup * total as f64).ceil() as u64;
        Self { name: schedule.name, highest, warmup, total }
    }

    /// Returns the optimizer steps over which the rate rises.
    pub fn warmup_steps(&self) -> u64 {
        self.warmup.min(self.total)
    }

    /// Returns the rate at an optimizer step, counted from 1.
    pub fn at(&self, step: u64) -> f64 {
        let done = step.saturating_sub(1);
        if done < self.warmup {
            return self.highest * done as f64 / self.warmup as f64;
        }
        let rest = self.total.saturating_sub(self.warmup).max(1) as f64;
        let progress = ((done - self.warmup) as f64 / rest).min(1.0);
        match self.name {
            ScheduleName::Constant | ScheduleName::UntilFrozen => self.highest,
            ScheduleName::Linear => self.highest * (1.0 - progress),
            ScheduleName::Cosine => self.highest * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        }
    }
}
