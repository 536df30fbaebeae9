//! The list of policies inside `all-of` and `any-of`.

use grades::Result;
use grades::policy::{Decision, FreezePolicy, Observation, PolicyBuilder, PolicyState};
use grades::schema::{Key, Section};
use serde::{Deserialize, Serialize};

/// The key of the policies.
pub(crate) const POLICIES: Key = Key::new("policies", "the policies' tables, at least one (required)");

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

    /// Reads [`POLICIES`].
    pub(crate) fn from_config(section: &mut Section<'_>, builder: &PolicyBuilder<'_>) -> Option<Self> {
        Some(Self::new(builder.children(section, POLICIES.name)?))
    }

    pub(crate) fn inner(&self) -> Vec<&dyn FreezePolicy> {
        self.policies.iter().map(|policy| &**policy).collect()
    }

    pub(crate) fn inner_mut(&mut self) -> Vec<&mut Box<dyn FreezePolicy>> {
        self.policies.iter_mut().collect()
    }

    /// Returns all answers, in order.
    pub(crate) fn decide(&mut self, observation: &Observation<'_>) -> Vec<Decision> {
        self.policies.iter_mut().map(|policy| policy.decide(observation)).collect()
    }

    pub(crate) fn state(&self) -> Result<PolicyState> {
        let policies = self.policies.iter().map(|policy| policy.state());
        PolicyState::of(&History { policies: policies.collect::<Result<_>>()? })
    }

    pub(crate) fn restore(&mut self, name: &str, state: &PolicyState) -> Result<()> {
        let History { policies } = state.read(name)?;
        if policies.len() != self.policies.len() {
            let reason = format!("{} policies, expected {}", policies.len(), self.policies.len());
            return Err(grades::Error::State { what: format!("policy \"{name}\""), reason });
        }
        // Restored in copies, so that a state that does not fit leaves all policies unchanged.
        let mut restored = self.policies.clone();
        for (policy, state) in restored.iter_mut().zip(&policies) {
            policy.restore(state)?;
        }
        self.policies = restored;
        Ok(())
    }
}
