//! The part of a fused optimizer in which Adam and SGD differ.

use std::fmt::Debug;

use tch::{TchError, Tensor};
use toml::Value;

use crate::error::Result;
use crate::optim::groups::Group;
use crate::optim::range::Range;
use crate::optim::{GradScale, HalfPrecision, Implementation, MomentRates};
use crate::torch::update::{Operation, Route, UpdateCall, Updated};

/// The configuration of a family of kernels: its state, its hyperparameters and its arithmetic.
pub(in crate::optim) trait KernelFamily: Debug + Send {
    /// The optimizer's type, for `Debug`.
    const TYPE: &'static str;
    /// PyTorch's names of the state tensors; the first is the moment.
    const FIELDS: &'static [&'static str];
    /// The name of the momentum in saved state and in errors.
    const MOMENTUM: &'static str;
    /// Each parameter counts its updates.
    const COUNTS_UPDATES: bool;
    /// A call for parameters with new state differs from later calls.
    const FIRST_UPDATE_DIFFERS: bool;

    /// Returns the optimizer's name.
    fn name(&self) -> &'static str;

    /// Returns libtorch's fused kernel.
    fn operation(&self) -> Operation;

    fn half_precision(&self) -> HalfPrecision;

    fn implementation(&self) -> Implementation;

    /// Returns the hyperparameters that do not change in a run, as they are saved.
    fn fixed(&self) -> Vec<(&'static str, Value)>;

    /// Returns the values that the momentum may have.
    fn momentum_range(&self) -> Range;

    /// Returns whether weight decay is added to the gradient.
    fn has_coupled_decay(&self) -> bool;

    /// Returns whether all parameters of these groups have moments.
    fn has_moments(&self, groups: &[Group]) -> bool;

    /// Returns the rates of the moments under a momentum.
    fn rates(&self, momentum: f64) -> MomentRates;

    /// Returns whether parameters of a group need a field of state.
    fn needs_field(&self, field: usize, group: &Group) -> bool;

    /// Returns whether saved state must have a field; `found` says that it has.
    fn saves_field(&self, field: usize, found: bool) -> bool;

    /// Makes a field of state of a parameter.
    fn new_field(&self, field: usize, parameter: &Tensor) -> Result<Tensor, TchError> {
        let _ = field;
        self.half_precision().zeros(parameter)
    }

    /// Updates the parameters of a call through a kernel.
    fn run(&self, call: &Call<'_>, route: Route<'_>) -> Result<Updated>;

    /// Updates one parameter of a call in tensor operations; `steps` counts this update. Half precision is computed in f32
    /// and rounded once, as the kernels do.
    fn reference(
        &self,
        call: &Call<'_>,
        index: usize,
        scale: GradScale<'_>,
        steps: u64,
    ) -> Result<(), TchError>;

    /// Returns whether [`update_direction`](Self::update_direction) needs what entered the moments.
    fn needs_moment_input(&self, call: &Call<'_>) -> bool;

    /// Computes ΔW ÷ lr of the last update of one parameter in f32 or wider, decoupled weight decay left out.
    fn update_direction(
        &self,
        call: &Call<'_>,
        index: usize,
        steps: u64,
        moment_input: Option<Tensor>,
    ) -> Result<Option<Tensor>, TchError>;
}

/// One update of the parameters of a bucket.
pub(in crate::optim) struct Call<'a> {
    pub(in crate::optim) update: UpdateCall<'a>,
    /// The state, by field: for each parameter one tensor, or none at all.
    pub(in crate::optim) fields: &'a [Vec<Tensor>],
    pub(in crate::optim) momentum: f64,
    /// The state is new.
    pub(in crate::optim) first: bool,
}
