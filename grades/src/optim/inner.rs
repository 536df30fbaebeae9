//! The trait of the optimizers that a wrapper drives.

use std::fmt::Debug;

use super::{GradScale, GradStats, StepRequest};
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
/// - The caller that freezes a parameter turns its `requires_grad` off, makes its gradient undefined
///   ([`torch::gradients::undefine`](crate::torch::gradients::undefine)) and calls [`release`](Self::release).
/// - Methods return errors; they do not panic.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an optimizer that grades can wrap",
    label = "does not implement `InnerOptimizer`",
    note = "build one with `grades::optim::AdamConfig` or `grades::optim::SgdConfig`; tch's own `nn::Optimizer` works too",
    note = "an optimizer that is chosen at run time is a `Box<dyn InnerOptimizer>` or a `Box<dyn StatefulOptimizer>`"
)]
pub trait InnerOptimizer: Debug + Send {
    /// Returns a short name, such as `adamw`.
    fn name(&self) -> &'static str;

    /// Returns its capabilities beyond updating; none by default.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// Sets which ids the caller uses; called once, before the first step.
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

    /// Scales the gradients, applies one update as [`step`](Self::step) does, and adds the requested statistics to `stats`.
    ///
    /// [`Adam`](super::Adam) and [`Sgd`](super::Sgd) do all of it in the pass that updates. By default, gradients are
    /// summed, then scaled in place, then applied.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step), and [`Error::Unsupported`](crate::Error::Unsupported) when statistics of moments or
    /// updates are requested and [`Capabilities::moments`] is false.
    fn step_measured(&mut self, request: &StepRequest<'_>, stats: &mut GradStats) -> Result<()> {
        if request.stats.needs_state() {
            return Err(unsupported(self.name(), "reading its moments and updates"));
        }
        stats.add_gradients(request.parameters, request.measured, request.stats.gradients)?;
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

    /// Adds to `stats` the progress of these parameters from their present gradients, without an update; see
    /// [`StatsRequest::progress`](super::StatsRequest::progress). For gradients that are changed before the update.
    ///
    /// # Errors
    ///
    /// As [`step_measured`](Self::step_measured).
    fn measure_progress(&mut self, measured: &[ParamId], stats: &mut GradStats) -> Result<()> {
        let _ = (measured, stats);
        Err(unsupported(self.name(), "reading its moments and updates"))
    }

    /// Stops updating parameters and frees their state, where the optimizer can.
    ///
    /// Releasing one twice does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`](crate::Error::Unknown) for an id that was not bound.
    fn release(&mut self, parameters: &[ParamId]) -> Result<()>;

    /// Updates released parameters again, as if they were new: without state, at the full learning rate.
    ///
    /// # Errors
    ///
    /// As [`set_lr_factors`](Self::set_lr_factors).
    fn readmit(&mut self, parameters: &[ParamId]) -> Result<()> {
        let _ = parameters;
        Err(unsupported(self.name(), "starting a released parameter afresh"))
    }

    /// Multiplies the learning rate of each of these parameters by a factor, from the next step on; 1 at first.
    ///
    /// Few different factors at a time keep the calls of fused kernels long.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`](crate::Error::Unsupported) unless [`Capabilities::adjustable`],
    /// [`Error::Unknown`](crate::Error::Unknown) for an id that was not bound.
    fn set_lr_factors(&mut self, factors: &[(ParamId, f64)]) -> Result<()> {
        let _ = factors;
        Err(unsupported(self.name(), "a learning rate for each component"))
    }

    /// Sets a hyperparameter of one group, or of all groups.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a value out of range,
    /// [`Error::Unknown`](crate::Error::Unknown) for a group that does not exist.
    fn set(&mut self, group: Option<usize>, hyperparameter: Hyperparameter, value: f64) -> Result<()>;

    /// Returns a hyperparameter of a group; `None` where it cannot be read, or for a group that does not exist.
    fn get(&self, group: usize, hyperparameter: Hyperparameter) -> Option<f64> {
        let _ = (group, hyperparameter);
        None
    }

    /// Returns the memory that is allocated now.
    fn memory(&self) -> OptimizerMemory {
        OptimizerMemory::default()
    }
}

/// A hyperparameter that can change during a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hyperparameter {
    /// The learning rate.
    LearningRate,
    /// SGD's momentum, Adam's β₁.
    Momentum,
    /// The weight decay.
    WeightDecay,
}

/// The abilities of an optimizer that not every optimizer has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// It averages gradients: [`InnerOptimizer::step_measured`] can give statistics of moments and updates.
    pub moments: bool,
    /// [`InnerOptimizer::set_lr_factors`] and [`InnerOptimizer::readmit`] work.
    pub adjustable: bool,
    /// Weight decay is added to the gradients, before they enter the moments.
    pub coupled_decay: bool,
}

/// The memory of an optimizer, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OptimizerMemory {
    /// The state, master copies left out; `None` where that cannot be known.
    pub state: Option<u64>,
    /// The master copies of weights.
    pub master_weights: u64,
}

/// Returns the error for a parameter that an optimizer does not have.
pub(super) fn unknown_parameter(name: &str, known: &str) -> Error {
    Error::Unknown { what: "parameter", name: name.to_owned(), nearest: None, known: known.to_owned() }
}

fn unsupported(optimizer: &str, what: &str) -> Error {
    Error::Unsupported {
        what: format!("{what} in the optimizer \"{optimizer}\""),
        reason: "it cannot; grades::optim::{Adam, AdamW, Sgd} can".to_owned(),
    }
}
