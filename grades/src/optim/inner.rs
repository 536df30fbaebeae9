//! The trait of everything that applies updates.

use std::fmt::Debug;

use super::{GradScale, StepRequest, StepSums};
use crate::error::{Error, Result};
use crate::parameters::{ParamId, Parameters};
use crate::torch::gradients;

/// Applies updates to parameters from their gradients, and never decides what is frozen.
///
/// It is `Send` because tch's tensors are, so a wrapper around a boxed one can move between threads too.
///
/// # Contract
///
/// - A parameter without a gradient is skipped by [`step`](Self::step): no decay, no momentum, no step counted.
/// - Whoever freezes a parameter turns its `requires_grad` off, makes its gradient undefined
///   ([`torch::gradients::undefine`](crate::torch::gradients::undefine)) and calls [`release`](Self::release).
/// - Methods return errors; they do not panic.
pub trait InnerOptimizer: Debug + Send {
    /// A short name, such as `adamw`.
    fn name(&self) -> &'static str;

    /// Told once, before the first step, which ids the caller uses.
    ///
    /// Parameters of the optimizer that are not among them go on being updated.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`](crate::Error::Unknown) when a parameter is unknown to the optimizer.
    fn bind(&mut self, parameters: &Parameters) -> Result<()>;

    /// Makes the gradients of all its parameters undefined.
    ///
    /// # Errors
    ///
    /// [`Error::Torch`](crate::Error::Torch) when libtorch refuses.
    fn zero_grad(&mut self) -> Result<()>;

    /// Applies one update to every parameter that has a gradient.
    ///
    /// # Errors
    ///
    /// [`Error::Torch`](crate::Error::Torch) when libtorch refuses, such as for a sparse gradient.
    fn step(&mut self) -> Result<()>;

    /// As [`step`](Self::step), with gradients scaled first, and with sums taken of what the policies read.
    ///
    /// Unless an optimizer does it in the pass that updates, as [`Adam`](super::Adam) and [`Sgd`](super::Sgd) do, gradients
    /// are summed, then scaled in place, then applied.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step), and [`Error::Unsupported`](crate::Error::Unsupported) when sums of moments or updates are
    /// wanted and [`has_moments`](Self::has_moments) is false.
    fn step_measured(&mut self, request: &StepRequest<'_>, sums: &mut StepSums) -> Result<()> {
        if request.wanted.is_of_state() {
            return Err(unsupported(self.name(), "reading its moments and updates"));
        }
        sums.add_gradients(request.parameters, request.measured, request.wanted.gradients)?;
        if !request.scale.is_one() {
            let active = request.active.iter().filter_map(|id| request.parameters.get(*id));
            let tensors: Vec<&tch::Tensor> = active.map(|parameter| parameter.tensor()).collect();
            match request.scale {
                GradScale::Factor(factor) => gradients::scale(&tensors, factor)?,
                GradScale::Divisor(divisor) => gradients::divide(&tensors, divisor)?,
            }
        }
        self.step()
    }

    /// Forgets parameters: they are not updated any more and their state is freed, where the optimizer can.
    ///
    /// Releasing one twice does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`](crate::Error::Unknown) for an id that was not bound.
    fn release(&mut self, parameters: &[ParamId]) -> Result<()>;

    /// Whether it averages gradients: then [`moment_rates`](Self::moment_rates) tells how, and
    /// [`step_measured`](Self::step_measured) sums moments and updates.
    fn has_moments(&self) -> bool {
        false
    }

    /// How the last step averaged these parameters' gradients; `None` for a parameter without an average.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`](crate::Error::Unsupported) unless [`has_moments`](Self::has_moments).
    fn moment_rates(&self, parameters: &[ParamId]) -> Result<Vec<Option<MomentRates>>> {
        let _ = parameters;
        Err(unsupported(self.name(), "reading its moments"))
    }

    /// What the next step adds to these parameters' gradients before it averages them, as a share of the parameters:
    /// weight decay, where it acts through the gradient.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`](crate::Error::Unknown) for an id that was not bound.
    fn gradient_decays(&self, parameters: &[ParamId]) -> Result<Vec<f64>> {
        Ok(vec![0.0; parameters.len()])
    }

    /// Whether [`set_lr_factors`](Self::set_lr_factors) and [`readmit`](Self::readmit) work.
    fn is_adjustable(&self) -> bool {
        false
    }

    /// Multiplies the learning rate of these parameters by factors, from the next step on; 1 at first.
    ///
    /// Few different factors at a time keep the calls of fused kernels long.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`](crate::Error::Unsupported) unless [`is_adjustable`](Self::is_adjustable),
    /// [`Error::Unknown`](crate::Error::Unknown) for an id that was not bound.
    fn set_lr_factors(&mut self, factors: &[(ParamId, f64)]) -> Result<()> {
        let _ = factors;
        Err(unsupported(self.name(), "a learning rate for each component"))
    }

    /// Updates released parameters again, as if they were new: without state, at the full learning rate.
    ///
    /// # Errors
    ///
    /// As [`set_lr_factors`](Self::set_lr_factors).
    fn readmit(&mut self, parameters: &[ParamId]) -> Result<()> {
        let _ = parameters;
        Err(unsupported(self.name(), "starting a released parameter afresh"))
    }

    /// Sets the learning rate of all groups.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::Error::Config) for a value that is negative or not finite.
    fn set_lr(&mut self, lr: f64) -> Result<()>;

    /// Sets the learning rate of one group.
    ///
    /// # Errors
    ///
    /// As [`set_lr`](Self::set_lr), and [`Error::Unknown`](crate::Error::Unknown) for a group that does not exist.
    fn set_lr_group(&mut self, group: usize, lr: f64) -> Result<()>;

    /// Sets the momentum of all groups: SGD's momentum, Adam's β₁.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::Error::Config) for a value out of range.
    fn set_momentum(&mut self, momentum: f64) -> Result<()>;

    /// Sets the momentum of one group.
    ///
    /// # Errors
    ///
    /// As [`set_momentum`](Self::set_momentum), and [`Error::Unknown`](crate::Error::Unknown) for a group that does
    /// not exist.
    fn set_momentum_group(&mut self, group: usize, momentum: f64) -> Result<()>;

    /// Sets the weight decay of all groups.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::Error::Config) for a value that is negative or not finite.
    fn set_weight_decay(&mut self, weight_decay: f64) -> Result<()>;

    /// Sets the weight decay of one group.
    ///
    /// # Errors
    ///
    /// As [`set_weight_decay`](Self::set_weight_decay), and [`Error::Unknown`](crate::Error::Unknown) for a group
    /// that does not exist.
    fn set_weight_decay_group(&mut self, group: usize, weight_decay: f64) -> Result<()>;

    /// The learning rate of the first group, `None` where it cannot be read.
    fn lr(&self) -> Option<f64>;

    /// The bytes of state that are allocated now, master copies left out; `None` where that cannot be known.
    fn state_bytes(&self) -> Option<u64>;

    /// The bytes of master copies of weights that are allocated now.
    fn master_bytes(&self) -> u64 {
        0
    }
}

/// How an optimizer averages a parameter's gradients: m ← decay·m + gain·g.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MomentRates {
    /// What remains of m at a step.
    pub decay: f64,
    /// What comes in of the gradient at a step.
    pub gain: f64,
    /// What came in of the gradient at the first step.
    pub first_gain: f64,
}

fn unsupported(optimizer: &str, what: &str) -> Error {
    Error::Unsupported {
        what: format!("{what} in the optimizer \"{optimizer}\""),
        reason: "it cannot; grades::optim::{Adam, AdamW, Sgd} can".to_owned(),
    }
}
