//! The state of early stopping.

use serde::{Deserialize, Serialize};

/// The evaluations that early stopping has seen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStoppingState {
    /// The step of the last evaluation.
    #[serde(rename = "last")]
    pub last_step: u64,
    /// The patience.
    pub patience: PatienceState,
}

/// The best evaluation, and the evaluations since then.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatienceState {
    /// The step of the best evaluation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_step: Option<u64>,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<f64>,
    /// The value that the next must beat by `min_delta`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<f64>,
    /// Evaluations in a row that did not.
    pub waited: u64,
}
