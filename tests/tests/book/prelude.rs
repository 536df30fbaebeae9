//! Names that a block of the book may use without defining them.

pub(crate) use std::path::Path;

pub(crate) use grades::optim::{Adam, AdamConfig, HalfPrecision};
pub(crate) use grades::policy::{Decision, FreezePolicy, Observation, PolicyBuilder, PolicyConfig};
pub(crate) use grades::schema::{Key, Section};
pub(crate) use grades::statistic::{Statistic, StatisticSet};
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

/// The policy of the page about writing one.
#[derive(Debug, Clone)]
pub(crate) struct Quietest;

impl FreezePolicy for Quietest {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([Statistic::GradRms])
    }

    fn decide(&mut self, _observation: &Observation<'_>) -> Decision {
        Decision::Keep
    }
}

impl PolicyConfig for Quietest {
    const NAME: &'static str = "quietest-of-the-book";
    const SUMMARY: &'static str = "never freezes";
    const KEYS: &'static [Key] = &[];

    fn from_config(_section: &mut Section<'_>, _builder: &PolicyBuilder<'_>) -> Option<Self> {
        Some(Self)
    }
}
