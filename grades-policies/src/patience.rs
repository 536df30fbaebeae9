//! `patience`: another policy must say so several times in a row.

use grades::policy::{
    CompositePolicy, Decision, FreezePolicy, FrozenObservation, Observation, PolicyBuilder, PolicyConfig,
    PolicyPlugin, PolicyState,
};
use grades::schema::{ConfigTable, Key, Section, join_keys, table};
use grades::{Result, submit};
use serde::{Deserialize, Serialize};

use crate::common::{self, Hits};

/// Freezes a component once another policy has said so at `hits` checks in a row.
///
/// One noisy gradient below a threshold is then not enough. The paper names patience as future work (arXiv
/// 2509.01842, Limitations). A check at which the other policy keeps starts the count anew; one that is
/// skipped, because a statistic was not finite, leaves it as it is. Checks of the grace period count, so a
/// component that has long been quiet freezes at the first check after it.
///
/// ```
/// use grades::component::{Component, ComponentKind};
/// use grades::policy::{FreezePolicy, Observation};
/// use grades::statistic::{ComponentSample, Statistic};
/// use grades_policies::{FixedThreshold, Patience};
///
/// let mut policy = Patience::new(2, FixedThreshold::new(Statistic::GradL1, 1.0));
/// let component = Component::detached("layers.0.wq", ComponentKind::Query, Some(0), 1);
/// let decisions = [0.5, 2.0, 0.5, 0.5].map(|gradient| {
///     let sample = ComponentSample::from_gradient(&[gradient]);
///     policy.decide(&Observation::new(&component, &sample)).is_freeze()
/// });
/// assert_eq!(decisions, [false, false, false, true]);
/// ```
#[derive(Debug, Clone)]
pub struct Patience {
    hits: u64,
    policy: Box<dyn FreezePolicy>,
    seen: Hits,
}

table! {
    /// The keys of the policy, but for the other policy.
    #[derive(Debug)]
    struct Settings = "freezing.policy" {
        /// Checks in a row at which it must hold.
        hits: u64 = common::hits(),
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct History {
    seen: Hits,
    policy: PolicyState,
}

impl Patience {
    /// Freezes once `policy` has said so at `hits` checks in a row.
    pub fn new(hits: u64, policy: impl FreezePolicy + 'static) -> Self {
        Self::boxed(hits, Box::new(policy))
    }

    fn boxed(hits: u64, policy: Box<dyn FreezePolicy>) -> Self {
        Self { hits, policy, seen: Hits::default() }
    }
}

impl CompositePolicy for Patience {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn inner(&self) -> Vec<&dyn FreezePolicy> {
        vec![&*self.policy]
    }

    fn inner_mut(&mut self) -> Vec<&mut Box<dyn FreezePolicy>> {
        vec![&mut self.policy]
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        if !common::all_finite(&*self.policy, observation) {
            return Decision::Keep;
        }
        let decision = self.policy.decide(observation);
        if self.seen.count(decision.is_freeze(), self.hits) { decision } else { Decision::Keep }
    }

    fn decide_frozen(&mut self, observation: &FrozenObservation<'_>) -> Decision {
        let decision = self.policy.decide_frozen(observation);
        if matches!(decision, Decision::Thaw(_)) {
            self.seen = Hits::default();
        }
        decision
    }

    fn state(&self) -> Result<PolicyState> {
        PolicyState::of(&History { seen: self.seen.clone(), policy: self.policy.state()? })
    }

    fn restore(&mut self, state: &PolicyState) -> Result<()> {
        let History { seen, policy } = state.read(Self::NAME)?;
        self.policy.restore(&policy)?;
        self.seen = seen;
        Ok(())
    }
}

impl PolicyConfig for Patience {
    const NAME: &'static str = "patience";
    const SUMMARY: &'static str = "freezes once another policy has said so at several checks in a row";
    const KEYS: &'static [Key] =
        &join_keys::<{ Settings::KEYS.len() + 1 }>(Settings::KEYS, &[common::POLICY]);

    fn from_config(section: &mut Section<'_>, builder: &PolicyBuilder<'_>) -> Option<Self> {
        let settings = Settings::read(section);
        let policy = builder.child(section, common::POLICY.name);
        Some(Self::boxed(settings?.hits, policy?))
    }
}

submit! { PolicyPlugin::of::<Patience>() }
