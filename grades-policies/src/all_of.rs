//! `all-of`: several policies must agree.

use grades::policy::{
    CompositePolicy, Decision, FreezePolicy, Observation, PolicyBuilder, PolicyConfig, PolicyPlugin,
    PolicyState,
};
use grades::schema::{Key, Section};
use grades::{Result, submit};

use crate::children::{Children, POLICIES};

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

impl CompositePolicy for AllOf {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn inner(&self) -> Vec<&dyn FreezePolicy> {
        self.children.inner()
    }

    fn inner_mut(&mut self) -> Vec<&mut Box<dyn FreezePolicy>> {
        self.children.inner_mut()
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        let decisions = self.children.decide(observation);
        let all = decisions.iter().all(Decision::is_freeze);
        decisions.into_iter().next().filter(|_| all).unwrap_or(Decision::Keep)
    }

    fn state(&self) -> Result<PolicyState> {
        self.children.state()
    }

    fn restore(&mut self, state: &PolicyState) -> Result<()> {
        self.children.restore(Self::NAME, state)
    }
}

impl PolicyConfig for AllOf {
    const NAME: &'static str = "all-of";
    const SUMMARY: &'static str = "freezes when all of its policies say so at the same check";
    const KEYS: &'static [Key] = &[POLICIES];

    fn from_config(section: &mut Section<'_>, builder: &PolicyBuilder<'_>) -> Option<Self> {
        Some(Self { children: Children::from_config(section, builder)? })
    }
}

submit! { PolicyPlugin::of::<AllOf>() }
