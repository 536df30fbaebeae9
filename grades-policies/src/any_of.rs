//! `any-of`: one of several policies is enough.

use grades::config::Cooldown;
use grades::policy::{
    Cause, Decision, FreezePolicy, FrozenObservation, Observation, PolicyBuilder, PolicyConfig, PolicyPlugin,
    PolicyState,
};
use grades::schema::{Key, Section};
use grades::statistic::StatisticSet;
use grades::{Result, submit};

use crate::children::Children;

/// Freezes a component when any of its policies says so.
///
/// Every child is asked at every check, so that each has its whole history. There is one rank: children that rank
/// components, such as `quota`, share that of the first. The cause that is reported is that of
/// the first child, in the order in which they are given, that says so. A frozen component thaws when any says so.
///
/// ```
/// use grades::statistic::Statistic;
/// use grades_policies::{AnyOf, FixedThreshold, SignalFraction};
///
/// let silent = FixedThreshold::new(Statistic::GradL1, 1e-6);
/// let noise = SignalFraction::new(0.005, 20, 5);
/// let policy = AnyOf::new(vec![Box::new(silent), Box::new(noise)]);
/// # let _ = policy;
/// ```
#[derive(Debug, Clone)]
pub struct AnyOf {
    children: Children,
}

impl AnyOf {
    /// Freezes when any of these says so.
    pub fn new(policies: Vec<Box<dyn FreezePolicy>>) -> Self {
        Self { children: Children::new(policies) }
    }
}

impl FreezePolicy for AnyOf {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn statistics(&self) -> StatisticSet {
        self.children.statistics()
    }

    fn score(&mut self, observation: &Observation<'_>) -> Option<f64> {
        self.children.score(observation)
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        let decisions = self.children.decide(observation);
        decisions.into_iter().find(Decision::is_freeze).unwrap_or(Decision::Keep)
    }

    fn thaws(&self) -> bool {
        self.children.thaws()
    }

    fn decide_frozen(&mut self, observation: &FrozenObservation<'_>) -> Decision {
        self.children.decide_frozen(observation)
    }

    fn default_cooldown(&self) -> Cooldown {
        self.children.default_cooldown()
    }

    fn compares(&self, observation: &Observation<'_>) -> Option<Cause> {
        let causes = self.children.compares(observation);
        let first = causes.first().copied();
        causes.into_iter().find(|cause| cause.value <= cause.threshold).or(first)
    }

    fn state(&self) -> PolicyState {
        self.children.state()
    }

    fn restore(&mut self, state: &PolicyState) -> Result<()> {
        self.children.restore(Self::NAME, state)
    }

    fn is_scale_free(&self) -> bool {
        self.children.is_scale_free()
    }
}

impl PolicyConfig for AnyOf {
    const NAME: &'static str = "any-of";
    const SUMMARY: &'static str = "freezes when any of its policies says so";
    const KEYS: &'static [Key] = &[Key::new("policies", "the policies' tables, at least one (required)")];

    fn from_config(section: &mut Section<'_>, builder: &PolicyBuilder<'_>) -> Option<Self> {
        Some(Self { children: Children::from_config(section, builder)? })
    }
}

submit! { PolicyPlugin::of::<AnyOf>() }
