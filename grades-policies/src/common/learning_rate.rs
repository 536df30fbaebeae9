//! The learning rate from check to check.

use grades::policy::Observation;
use serde::{Deserialize, Serialize};

/// The learning rate at the last check; infinite when it is not known, for TOML has no absent value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct LearningRate(f64);

impl Default for LearningRate {
    fn default() -> Self {
        Self(f64::INFINITY)
    }
}

impl LearningRate {
    /// Takes in that of a check; returns whether it has risen since the last one, so that what was measured says nothing yet.
    pub(crate) fn has_risen(&mut self, observation: &Observation<'_>) -> bool {
        let before = std::mem::replace(&mut self.0, observation.learning_rate().unwrap_or(f64::INFINITY));
        self.0.is_finite() && self.0 > before
    }
}
