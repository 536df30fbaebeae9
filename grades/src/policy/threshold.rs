//! A policy that freezes below a fixed value.

use super::{Cause, Decision, FreezePolicy, Observation};
use crate::statistic::{Statistic, StatisticSet};

/// Freezes a component once a statistic falls below a value.
///
/// `fixed-threshold` of `grades-policies` does the same and can be named in a configuration file.
///
/// ```
/// use grades::component::{Component, ComponentKind};
/// use grades::policy::{FreezePolicy, Observation, Threshold};
/// use grades::statistic::{ComponentSample, Statistic};
///
/// let mut policy = Threshold::new(Statistic::GradL1, 1.0);
/// let component = Component::detached("layers.0.wq", ComponentKind::Query, Some(0), 2);
/// let large = ComponentSample::from_gradient(&[0.7, -0.7]);
/// let small = ComponentSample::from_gradient(&[0.4, -0.4]);
/// assert!(!policy.decide(&Observation::new(&component, &large)).is_freeze());
/// assert!(policy.decide(&Observation::new(&component, &small)).is_freeze());
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    statistic: Statistic,
    below: f64,
}

impl Threshold {
    /// Creates a policy that freezes when `statistic` is below `below`, in the statistic's own unit.
    pub fn new(statistic: Statistic, below: f64) -> Self {
        Self { statistic, below }
    }
}

impl FreezePolicy for Threshold {
    fn name(&self) -> &'static str {
        "threshold"
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([self.statistic])
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        match observation.value(self.statistic) {
            Some(value) => Decision::freeze_below(self.name(), self.statistic, value, self.below),
            None => Decision::Keep,
        }
    }

    fn compares(&self, observation: &Observation<'_>) -> Option<Cause> {
        let value = observation.value(self.statistic)?;
        Some(Cause::new(self.name(), self.statistic, value, self.below))
    }
}
