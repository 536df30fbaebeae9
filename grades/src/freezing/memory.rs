//! The memory that training uses now.

use super::cooldown::Cooldown;
use super::monitor::Monitor;
use super::params::ParamSet;
use crate::optim::{InnerOptimizer, OptimizerMemory};
use crate::torch::byte_len;

/// The bytes that are allocated now, by use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// The parameters, frozen ones included.
    pub parameters: u64,
    /// The gradients that are defined.
    pub gradients: u64,
    /// Buckets for the gradients of a group of processes, as far as they are no gradients now.
    pub buckets: u64,
    /// Copies of gradients and weights, for the statistics `grad-delta-l1` and `weight-delta-l1`.
    pub statistics: u64,
    /// The means of weights that cool by averaging.
    pub averages: u64,
    /// The inner optimizer's state; `None` where it cannot be known, as for tch's optimizers.
    pub optimizer_state: Option<u64>,
    /// Master copies of weights in half precision.
    pub master_weights: u64,
}

impl Memory {
    /// Returns the sum of all that is known.
    pub fn total(&self) -> u64 {
        let state = self.optimizer_state.unwrap_or(0);
        let gradients = self.gradients + self.buckets;
        self.parameters + gradients + self.statistics + self.averages + state + self.master_weights
    }

    /// Counts the bytes of a run's parts.
    pub(super) fn of(
        params: &ParamSet,
        monitor: &Monitor,
        cooldown: &Cooldown,
        inner: &impl InnerOptimizer,
        buckets: u64,
    ) -> Self {
        let OptimizerMemory { state: optimizer_state, master_weights } = inner.memory();
        let mut memory = Memory {
            parameters: 0,
            gradients: 0,
            buckets,
            statistics: monitor.bytes(),
            averages: cooldown.bytes(),
            optimizer_state,
            master_weights,
        };
        for (_, parameter) in params.all().iter() {
            memory.parameters += byte_len(parameter.tensor());
            let gradient = parameter.tensor().grad();
            if gradient.defined() {
                memory.gradients += byte_len(&gradient);
            }
        }
        memory
    }
}
