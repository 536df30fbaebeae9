//! The state of the loss monitor.

use serde::{Deserialize, Serialize};

/// The counts and the running mean of the loss monitor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossMonitorState {
    /// Steps whose loss or gradients were not finite.
    #[serde(rename = "bad")]
    pub bad_steps: u64,
    /// Those since the last good step.
    #[serde(rename = "in_a_row")]
    pub bad_in_a_row: u64,
    /// Losses far above their running mean.
    pub spikes: u64,
    /// The weighted sum of losses.
    pub sum: f64,
    /// The sum of their weights.
    pub weight: f64,
    /// The number of losses in the sum.
    pub seen: u64,
}
