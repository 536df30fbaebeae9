//! tch's own optimizers as inner optimizers.
//!
//! tch hides the state of its optimizers, so [`release`](InnerOptimizer::release) cannot free it: a released
//! parameter does not move because it has no gradient, and its moments stay allocated.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tch::nn::Optimizer;

use super::inner::unknown_parameter;
use super::{Hyperparameter, InnerOptimizer};
use crate::error::{Error, Result};
use crate::parameters::{ParamId, Parameters};
use crate::torch::identity;

/// Runs a method of tch, which reports errors by panicking.
fn caught<T>(doing: &str, body: impl FnOnce() -> T) -> Result<T> {
    // The optimizer is not used further by tch itself, and every later call of it is caught in the same way.
    catch_unwind(AssertUnwindSafe(body)).map_err(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("tch panicked");
        Error::torch_message(doing, message)
    })
}

impl InnerOptimizer for Optimizer {
    fn name(&self) -> &'static str {
        "tch"
    }

    fn bind(&mut self, parameters: &Parameters) -> Result<()> {
        let trainable = caught("listing an optimizer's variables", || self.trainable_variables())?;
        let known = trainable.iter().map(identity).collect::<Result<HashSet<_>>>()?;
        for (_, parameter) in parameters.iter() {
            if !known.contains(&identity(parameter.tensor())?) {
                return Err(unknown_parameter(parameter.name(), "those of the VarStore it was built from"));
            }
        }
        Ok(())
    }

    fn zero_grad(&mut self) -> Result<()> {
        caught("dropping gradients", || Optimizer::zero_grad(self))
    }

    fn step(&mut self) -> Result<()> {
        caught("an optimizer step", || Optimizer::step(self))
    }

    /// Does nothing: see the module. The moments of a released parameter stay allocated.
    fn release(&mut self, _: &[ParamId]) -> Result<()> {
        Ok(())
    }

    /// Sets a hyperparameter. Setting the momentum of one group works for SGD only: for the others tch sets the value
    /// and then reports an unexpected optimizer.
    fn set(&mut self, group: Option<usize>, hyperparameter: Hyperparameter, value: f64) -> Result<()> {
        use Hyperparameter::{LearningRate, Momentum, WeightDecay};
        let doing = match (hyperparameter, group) {
            (LearningRate, None) => "setting the learning rate",
            (LearningRate, Some(_)) => "setting a group's learning rate",
            (Momentum, None) => "setting the momentum",
            (Momentum, Some(_)) => "setting a group's momentum",
            (WeightDecay, None) => "setting the weight decay",
            (WeightDecay, Some(_)) => "setting a group's weight decay",
        };
        caught(doing, || match (hyperparameter, group) {
            (LearningRate, None) => self.set_lr(value),
            (LearningRate, Some(group)) => self.set_lr_group(group, value),
            (Momentum, None) => self.set_momentum(value),
            (Momentum, Some(group)) => self.set_momentum_group(group, value),
            (WeightDecay, None) => self.set_weight_decay(value),
            (WeightDecay, Some(group)) => self.set_weight_decay_group(group, value),
        })
    }
}
