//! The overhead of watching gradients, as `finetune monitoring` measures it.

use serde::{Deserialize, Serialize};

/// The overhead of a policy before it freezes anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Overhead {
    /// The median, over steps, of how much longer a step takes than the same step without a policy, in percent.
    pub percent: f64,
    /// The lower and the upper quartile of the same, in percent.
    pub quartiles: [f64; 2],
    /// Steps that were compared.
    pub pairs: usize,
    /// The median of a step's seconds without a policy.
    pub seconds_per_step: f64,
}
