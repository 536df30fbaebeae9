//! `all-of`: several policies must agree.

use grades::config::Cooldown;
use grades::policy::{
    Cause, Decision, FreezePolicy, FrozenObservation, Observation, PolicyBuilder, PolicyConfig, PolicyPlugin,
    PolicyState,
};
use grades::schema::{Key, Section};
use grades::statistic::StatisticSet;
use grades::{Result, submit};

use crate::children::Children;

/// Freezes a component when all of its policies say so at the same check.
///
/// Every child is asked at every check, so that each has its whole history. There is one rank: children that rank
/// components, such as `quota`, share that of the first. The cause that is reported is that of
/// the first child. A frozen component thaws when any child says so.
///
/// ```
/// use grades::statistic::Statistic;
/// use grades_policies::{AllOf, FixedThreshold, RelativeToPeak};
///
/// let quiet = FixedThreshold::new(Statistic::GradRms, 1e-4);
/// let fallen = RelativeToPeak::new(0.5, 20, 5);
/// let policy = AllOf::new(vec![Box::new(quiet), Box::new(fallen)]);
/// # let _ = policy;
/// ```
#[derive(Debug, Clone)]
pub struct AllOf {
    children: Children,
}

impl AllOf {
    /// Freezes when all of these say so; none at all never do.
    pub fn new(policies: Vec<Box<dyn FreezePolicy>>) -> Self {
        Self { children: Children::new(policies) }
    }
}

impl FreezePolicy for AllOf {
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
        match decisions.first() {
            Some(first) if decisions.iter().all(Decision::is_freeze) => *first,
            _ => Decision::Keep,
        }
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
        self.children.compares(observation).into_iter().next()
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

impl PolicyConfig for AllOf {
    const NAME: &'static str = "all-of";
    const SUMMARY: &'static str = "freezes when all of its policies say so at the same check";
    const KEYS: &'static [Key] = &[Key::new("policies", "the policies' tables, at least one (required)")];

    fn from_config(section: &mut Section<'_>, builder: &PolicyBuilder<'_>) -> Option<Self> {
        Some(Self { children: Children::from_config(section, builder)? })
    }
}

submit! { PolicyPlugin::of::<AllOf>() }
