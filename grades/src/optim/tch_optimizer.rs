//! tch's own optimizers behind the trait.
//!
//! tch hides the state of its optimizers, so [`release`](InnerOptimizer::release) cannot free it: a released
//! parameter stays as it is because it has no gradient, and its moments stay allocated.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tch::nn::Optimizer;

use super::InnerOptimizer;
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

    fn set_lr(&mut self, lr: f64) -> Result<()> {
        caught("setting the learning rate", || Optimizer::set_lr(self, lr))
    }

    fn set_lr_group(&mut self, group: usize, lr: f64) -> Result<()> {
        caught("setting a group's learning rate", || Optimizer::set_lr_group(self, group, lr))
    }

    fn set_momentum(&mut self, momentum: f64) -> Result<()> {
        caught("setting the momentum", || Optimizer::set_momentum(self, momentum))
    }

    /// Works for SGD only: for the others tch sets the value and then reports an unexpected optimizer.
    fn set_momentum_group(&mut self, group: usize, momentum: f64) -> Result<()> {
        caught("setting a group's momentum", || Optimizer::set_momentum_group(self, group, momentum))
    }

    fn set_weight_decay(&mut self, weight_decay: f64) -> Result<()> {
        caught("setting the weight decay", || Optimizer::set_weight_decay(self, weight_decay))
    }

    fn set_weight_decay_group(&mut self, group: usize, weight_decay: f64) -> Result<()> {
        caught("setting a group's weight decay", || {
            Optimizer::set_weight_decay_group(self, group, weight_decay)
        })
    }

    fn lr(&self) -> Option<f64> {
        None
    }

    fn state_bytes(&self) -> Option<u64> {
        None
    }
}

/// The error for a parameter that an optimizer does not have.
pub(super) fn unknown_parameter(name: &str, known: &str) -> Error {
    Error::Unknown { what: "parameter", name: name.to_owned(), nearest: None, known: known.to_owned() }
}
