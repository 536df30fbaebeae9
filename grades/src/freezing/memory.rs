//! How much memory training takes now.

use super::FreezingOptimizer;
use crate::optim::{InnerOptimizer, OptimizerMemory};
use crate::torch::byte_len;

/// Bytes that are allocated now, by what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// The parameters, frozen ones included.
    pub parameters: u64,
    /// The gradients that are defined.
    pub gradients: u64,
    /// Copies of gradients and weights that statistics need: `grad-delta-l1` and `weight-delta-l1` only.
    pub statistics: u64,
    /// The means of weights that cool by averaging.
    pub averages: u64,
    /// The inner optimizer's state; `None` where it cannot be known, as for tch's optimizers.
    pub optimizer_state: Option<u64>,
    /// Master copies of weights in half precision.
    pub master_weights: u64,
}

impl Memory {
    /// All of it, as far as it is known.
    pub fn total(&self) -> u64 {
        let state = self.optimizer_state.unwrap_or(0);
        self.parameters + self.gradients + self.statistics + self.averages + state + self.master_weights
    }
}

impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// Bytes that are allocated now, by what they hold.
    pub fn memory(&self) -> Memory {
        let statistics = self.instruments.bytes();
        let OptimizerMemory { state: optimizer_state, master_weights } = self.inner.memory();
        let averages = self.averages.bytes();
        let mut memory =
            Memory { parameters: 0, gradients: 0, statistics, averages, optimizer_state, master_weights };
        for (_, parameter) in self.parameters.iter() {
            memory.parameters += byte_len(parameter.tensor());
            let gradient = parameter.tensor().grad();
            if gradient.defined() {
                memory.gradients += byte_len(&gradient);
            }
        }
        memory
    }
}
