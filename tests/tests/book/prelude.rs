//! Names that a block of the book may use without defining them.

pub(crate) use std::path::Path;

pub(crate) use grades::optim::{Adam, AdamConfig, HalfPrecision};
pub(crate) use grades::tracker::StepReport;
pub(crate) use grades::{FreezingConfig, FreezingOptimizer};
pub(crate) use tch::Tensor;
pub(crate) use tch::nn::VarStore;

/// The result of a block.
pub(crate) type Done = Result<(), Box<dyn std::error::Error>>;

/// A training loop that blocks are parts of.
pub(crate) struct Context {
    pub(crate) vs: VarStore,
    pub(crate) optimizer: FreezingOptimizer<Adam>,
    pub(crate) inner: Adam,
    pub(crate) config: FreezingConfig,
    pub(crate) batches: Vec<Tensor>,
    pub(crate) loss_of: fn(&Tensor) -> Tensor,
    pub(crate) schedule: fn(u64) -> f64,
    pub(crate) planned_steps: u64,
    pub(crate) step: u64,
    pub(crate) step_batches: Vec<Tensor>,
}
