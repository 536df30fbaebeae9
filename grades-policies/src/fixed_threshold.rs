//! `fixed-threshold`: the paper's rule.

use grades::policy::{Cause, Decision, FreezePolicy, Observation, PolicyBuilder, PolicyConfig, PolicyPlugin};
use grades::schema::field::{ABOVE_ZERO, optional_word, required_number};
use grades::schema::{ConfigTable, Key, Section, table};
use grades::statistic::{Statistic, StatisticSet};
use grades::submit;

/// Freezes a component the first time its statistic is below τ.
///
/// This is the rule of GradES (arXiv 2509.01842v1, Algorithm 1): with `metric = "grad-l1"`, a component
/// freezes at the first step after the grace period at which ‖g‖₁ < τ. The paper sets τ by hand for each model.
///
/// ```
/// use grades::component::{Component, ComponentKind};
/// use grades::policy::{FreezePolicy, Observation};
/// use grades::statistic::{ComponentSample, Statistic};
/// use grades_policies::FixedThreshold;
///
/// let mut policy = FixedThreshold::new(Statistic::GradL1, 1.0);
/// let component = Component::detached("layers.0.wq", ComponentKind::Query, Some(0), 2);
/// let large = ComponentSample::from_gradient(&[0.7, -0.7]);
/// let small = ComponentSample::from_gradient(&[0.4, -0.4]);
/// assert!(!policy.decide(&Observation::new(&component, &large)).is_freeze());
/// assert!(policy.decide(&Observation::new(&component, &small)).is_freeze());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FixedThreshold {
    metric: Statistic,
    tau: f64,
}

table! {
    /// The keys of the policy.
    #[derive(Debug)]
    struct Settings = "freezing.policy" {
        /// The threshold, in the metric's unit.
        tau: f64 = required_number(ABOVE_ZERO),
        /// The statistic.
        metric: Option<Statistic> = optional_word().note("freezing.metric"),
    }
}

impl FixedThreshold {
    /// Freezes when `metric` is below `tau`, in the metric's own unit.
    pub fn new(metric: Statistic, tau: f64) -> Self {
        Self { metric, tau }
    }
}

impl FreezePolicy for FixedThreshold {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([self.metric])
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        match observation.value(self.metric) {
            Some(value) => Decision::freeze_below(self.name(), self.metric, value, self.tau),
            None => Decision::Keep,
        }
    }

    fn compares(&self, observation: &Observation<'_>) -> Option<Cause> {
        let value = observation.value(self.metric)?;
        Some(Cause::new(Self::NAME, self.metric, value, self.tau))
    }
}

impl PolicyConfig for FixedThreshold {
    const NAME: &'static str = "fixed-threshold";
    const SUMMARY: &'static str = "freezes the first time the statistic is below tau (the paper's rule)";
    const KEYS: &'static [Key] = Settings::KEYS;

    fn from_config(section: &mut Section<'_>, builder: &PolicyBuilder<'_>) -> Option<Self> {
        let Settings { tau, metric } = Settings::read(section)?;
        Some(Self::new(metric.unwrap_or(builder.metric()), tau))
    }
}

submit! { PolicyPlugin::of::<FixedThreshold>() }
