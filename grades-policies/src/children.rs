//! The policies inside `all-of` and `any-of`.

use grades::Result;
use grades::config::Cooldown;
use grades::policy::{
    Cause, Decision, FreezePolicy, FrozenObservation, Observation, PolicyBuilder, PolicyState,
};
use grades::schema::Section;
use grades::statistic::StatisticSet;
use serde::{Deserialize, Serialize};

/// Policies that see the same observations.
#[derive(Debug, Clone)]
pub(crate) struct Children {
    policies: Vec<Box<dyn FreezePolicy>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct History {
    policies: Vec<PolicyState>,
}

impl Children {
    pub(crate) fn new(policies: Vec<Box<dyn FreezePolicy>>) -> Self {
        Self { policies }
    }

    /// Reads the key `policies`.
    pub(crate) fn from_config(section: &mut Section<'_>, builder: &PolicyBuilder<'_>) -> Option<Self> {
        Some(Self::new(builder.children(section, "policies")?))
    }

    pub(crate) fn statistics(&self) -> StatisticSet {
        self.policies.iter().fold(StatisticSet::default(), |set, policy| set.union(policy.statistics()))
    }

    /// The score of the first child that has one; all are asked.
    pub(crate) fn score(&mut self, observation: &Observation<'_>) -> Option<f64> {
        let scores: Vec<_> = self.policies.iter_mut().map(|policy| policy.score(observation)).collect();
        scores.into_iter().flatten().next()
    }

    /// All answers, in order.
    pub(crate) fn decide(&mut self, observation: &Observation<'_>) -> Vec<Decision> {
        self.policies.iter_mut().map(|policy| policy.decide(observation)).collect()
    }

    /// What those that have something to compare compare, in order.
    pub(crate) fn compares(&self, observation: &Observation<'_>) -> Vec<Cause> {
        self.policies.iter().filter_map(|policy| policy.compares(observation)).collect()
    }

    pub(crate) fn thaws(&self) -> bool {
        self.policies.iter().any(|policy| policy.thaws())
    }

    /// The first answer to thaw; all are asked.
    pub(crate) fn decide_frozen(&mut self, observation: &FrozenObservation<'_>) -> Decision {
        let thawing = self.policies.iter_mut().filter(|policy| policy.thaws());
        let answers: Vec<_> = thawing.map(|policy| policy.decide_frozen(observation)).collect();
        answers.into_iter().find(|answer| matches!(answer, Decision::Thaw(_))).unwrap_or(Decision::Keep)
    }

    /// The longest of the children's cooldowns.
    pub(crate) fn default_cooldown(&self) -> Cooldown {
        self.policies
            .iter()
            .map(|policy| policy.default_cooldown())
            .fold(Cooldown::default(), Cooldown::longer)
    }

    pub(crate) fn state(&self) -> PolicyState {
        PolicyState::of(&History { policies: self.policies.iter().map(|policy| policy.state()).collect() })
    }

    pub(crate) fn restore(&mut self, name: &str, state: &PolicyState) -> Result<()> {
        let History { policies } = state.read(name)?;
        if policies.len() != self.policies.len() {
            let reason = format!("{} policies, expected {}", policies.len(), self.policies.len());
            return Err(grades::Error::State { what: format!("policy \"{name}\""), reason });
        }
        // Restored in copies, so that a state that does not fit leaves all as it was.
        let mut restored = self.policies.clone();
        for (policy, state) in restored.iter_mut().zip(&policies) {
            policy.restore(state)?;
        }
        self.policies = restored;
        Ok(())
    }

    pub(crate) fn is_scale_free(&self) -> bool {
        self.policies.iter().all(|policy| policy.is_scale_free())
    }
}
