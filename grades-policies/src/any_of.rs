//! `any-of`: one of several policies is enough.

use grades::policy::{
    Cause, CompositePolicy, Decision, FreezePolicy, Observation, PolicyBuilder, PolicyConfig, PolicyPlugin,
    PolicyState,
};
use grades::schema::{Key, Section};
use grades::{Result, submit};

use crate::children::{Children, POLICIES};

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

impl CompositePolicy for AnyOf {
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
        decisions.into_iter().find(Decision::is_freeze).unwrap_or(Decision::Keep)
    }

    fn compares(&self, observation: &Observation<'_>) -> Option<Cause> {
        let causes = || self.inner().into_iter().filter_map(|policy| policy.compares(observation));
        causes().find(|cause| cause.value <= cause.threshold).or_else(|| causes().next())
    }

    fn state(&self) -> Result<PolicyState> {
        self.children.state()
    }

    fn restore(&mut self, state: &PolicyState) -> Result<()> {
        self.children.restore(Self::NAME, state)
    }
}

impl PolicyConfig for AnyOf {
    const NAME: &'static str = "any-of";
    const SUMMARY: &'static str = "freezes when any of its policies says so";
    const KEYS: &'static [Key] = &[POLICIES];

    fn from_config(section: &mut Section<'_>, builder: &PolicyBuilder<'_>) -> Option<Self> {
        Some(Self { children: Children::from_config(section, builder)? })
    }
}

submit! { PolicyPlugin::of::<AnyOf>() }
