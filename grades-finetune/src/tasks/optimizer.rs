//! Builds the optimizer that a configuration names.

use grades::optim::{AdamConfig, HalfPrecision, SgdConfig, StatefulOptimizer};
use grades::{FreezingOptimizer, Result};
use tch::nn::VarStore;

use crate::config::{OptimizerConfig, OptimizerName};

/// The optimizer of a run.
pub(crate) type Optimizer = FreezingOptimizer<Box<dyn StatefulOptimizer>>;

/// Builds the inner optimizer over the trainable variables of a store.
///
/// # Errors
///
/// [`grades::Error::Config`] for hyperparameters out of range, [`grades::Error::Torch`] when libtorch refuses.
pub(crate) fn build_optimizer(config: &OptimizerConfig, vs: &VarStore) -> Result<Box<dyn StatefulOptimizer>> {
    // Of f32 parameters, such as adapters on a bf16 base, there are no copies.
    let half = match config.master_weights {
        true => HalfPrecision::MasterWeights,
        false => HalfPrecision::AsParameter,
    };
    let adam = |kind: AdamConfig| {
        let kind = kind.beta1(config.beta1).beta2(config.beta2).eps(config.eps).wd(config.weight_decay);
        kind.half_precision(half)
    };
    Ok(match config.name {
        OptimizerName::AdamW => Box::new(adam(AdamConfig::adamw()).build(vs, config.lr)?),
        OptimizerName::Adam => Box::new(adam(AdamConfig::adam()).build(vs, config.lr)?),
        OptimizerName::Sgd => {
            let sgd =
                SgdConfig::default().momentum(config.momentum).wd(config.weight_decay).half_precision(half);
            Box::new(sgd.build(vs, config.lr)?)
        }
    })
}
