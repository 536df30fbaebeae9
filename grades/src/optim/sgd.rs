//! Stochastic gradient descent, with or without momentum.

use tch::nn::VarStore;
use tch::{TchError, Tensor};
use toml::Value;

use super::fused::{Call, Fused, KernelFamily, scaled};
use super::groups::Group;
use super::range::Range;
use super::setters::setters;
use super::upcast::Upcast;
use super::{GradScale, HalfPrecision, Implementation, MomentRates};
use crate::error::{Problems, Result};
use crate::parameters::Parameters;
use crate::torch::update::{self, Operation, Route, SgdCall, Updated};

/// SGD (PyTorch's `torch.optim.SGD`).
///
/// With a momentum, each parameter has one buffer, made at its first gradient; its dtype for bf16 and f16 parameters is
/// set by [`HalfPrecision`]. A buffer stays when the momentum is set to 0, and is used again when it is set back, as in
/// PyTorch.
///
/// On the CPU one pass over the parameters applies the update and computes the statistics of
/// [`step_measured`](super::InnerOptimizer::step_measured). Its results are the same bits for any number of threads and
/// any vector instructions, and differ from PyTorch's `_single_tensor_sgd` by rounding at most.
///
/// See [`SgdConfig`] for an example.
pub type Sgd = Fused<SgdConfig>;

/// Builds [`Sgd`]: tch's defaults (all zero), tch's names of the setters.
///
/// ```
/// use grades::optim::{InnerOptimizer, SgdConfig};
/// use tch::{Device, Kind, nn};
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let w = vs.root().ones("w", &[2]);
/// let mut optimizer = SgdConfig::new().momentum(0.9).build(&vs, 0.25)?;
/// (&w * &w).sum(Kind::Float).backward();
/// optimizer.step()?;
/// assert_eq!(w.double_value(&[0]), 0.5);
///
/// let error = SgdConfig::new().nesterov(true).build(&vs, 0.1).unwrap_err().to_string();
/// assert!(error.contains("nesterov"));
/// # Ok::<(), grades::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[must_use]
pub struct SgdConfig {
    momentum: f64,
    dampening: f64,
    wd: f64,
    nesterov: bool,
    half_precision: HalfPrecision,
    implementation: Implementation,
}

impl SgdConfig {
    /// Creates plain gradient descent.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the share of the old update that remains; at least 0.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Sets the share of the gradient that does not enter the momentum, except for the first; finite.
    pub fn dampening(mut self, dampening: f64) -> Self {
        self.dampening = dampening;
        self
    }

    /// Sets the weight decay, which is added to the gradient; at least 0.
    pub fn wd(mut self, wd: f64) -> Self {
        self.wd = wd;
        self
    }

    /// Sets whether to use Nesterov's momentum, which needs a momentum and no dampening.
    pub fn nesterov(mut self, nesterov: bool) -> Self {
        self.nesterov = nesterov;
        self
    }

    /// Builds the optimizer of the trainable variables of `vs`; variables that are added later are not among them.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::Error::Config) that names each value out of range, and the errors of
    /// [`Parameters::from_var_store`].
    pub fn build(self, vs: &VarStore, lr: f64) -> Result<Sgd> {
        let (momentum, dampening) = (self.momentum, self.dampening);
        let mut problems = Problems::default();
        Range::NOT_NEGATIVE.report(&mut problems, "momentum", momentum);
        Range::FINITE.report(&mut problems, "dampening", dampening);
        if self.nesterov && (momentum.is_nan() || momentum <= 0.0) {
            problems.push("nesterov", format!("true needs a momentum above 0, not {momentum}"));
        }
        if self.nesterov && dampening != 0.0 {
            problems.push("dampening", format!("{dampening} is not 0, which nesterov needs"));
        }
        Range::NOT_NEGATIVE.report(&mut problems, "wd", self.wd);
        Range::NOT_NEGATIVE.report(&mut problems, "lr", lr);
        problems.into_result(())?;
        let group = Group { lr, momentum, weight_decay: self.wd };
        Ok(Fused::new(self, group, Parameters::from_var_store(vs)?))
    }
}

setters!(SgdConfig);

/// The field of the state: the momentum buffer, which a parameter has from its first gradient under a momentum on.
const BUFFER: usize = 0;

impl KernelFamily for SgdConfig {
    const TYPE: &'static str = "Sgd";
    const FIELDS: &'static [&'static str] = &["momentum_buffer"];
    const MOMENTUM: &'static str = "momentum";
    const COUNTS_UPDATES: bool = false;
    const FIRST_UPDATE_DIFFERS: bool = true;

    fn name(&self) -> &'static str {
        "sgd"
    }

    fn operation(&self) -> Operation {
        Operation::Sgd
    }

    fn half_precision(&self) -> HalfPrecision {
        self.half_precision
    }

    fn implementation(&self) -> Implementation {
        self.implementation
    }

    fn fixed(&self) -> Vec<(&'static str, Value)> {
        vec![("dampening", Value::Float(self.dampening)), ("nesterov", Value::Boolean(self.nesterov))]
    }

    fn momentum_range(&self) -> Range {
        if self.nesterov { Range::ABOVE_ZERO } else { Range::NOT_NEGATIVE }
    }

    fn has_coupled_decay(&self) -> bool {
        true
    }

    fn has_moments(&self, groups: &[Group]) -> bool {
        groups.iter().all(|group| group.momentum > 0.0)
    }

    fn rates(&self, momentum: f64) -> MomentRates {
        MomentRates { decay: momentum, gain: 1.0 - self.dampening, first_gain: 1.0 }
    }

    fn needs_field(&self, _: usize, group: &Group) -> bool {
        group.momentum != 0.0
    }

    fn saves_field(&self, _: usize, found: bool) -> bool {
        found
    }

    fn run(&self, call: &Call<'_>, route: Route<'_>) -> Result<Updated> {
        let call = SgdCall {
            update: call.update,
            buffers: &call.fields[BUFFER],
            momentum: call.momentum,
            dampening: self.dampening,
            nesterov: self.nesterov,
            first: call.first,
        };
        update::sgd(&call, route)
    }

    /// Computes the update in the order of PyTorch's `_single_tensor_sgd`.
    fn reference(&self, call: &Call<'_>, index: usize, scale: GradScale<'_>, _: u64) -> Result<(), TchError> {
        let parameter = &call.update.parameters[index];
        let mut weights = Upcast::of(call.update.masters.get(index).unwrap_or(parameter))?;
        let mut gradient = scaled(&parameter.grad(), scale)?;
        if call.update.weight_decay != 0.0 {
            gradient = gradient.f_add(&weights.tensor.f_mul_scalar(call.update.weight_decay)?)?;
        }
        if let Some(buffer) = call.fields[BUFFER].get(index) {
            let mut momentum = Upcast::of(buffer)?;
            if call.first {
                momentum.tensor.f_copy_(&gradient)?;
            } else {
                let added = gradient.f_mul_scalar(1.0 - self.dampening)?;
                let _ = momentum.tensor.f_mul_scalar_(call.momentum)?.f_add_(&added)?;
            }
            momentum.store(buffer)?;
            gradient = match self.nesterov {
                true => gradient.f_add(&momentum.tensor.f_mul_scalar(call.momentum)?)?,
                false => momentum.tensor,
            };
        }
        let _ = weights.tensor.f_add_(&gradient.f_mul_scalar(-call.update.lr)?)?;
        weights.store(parameter)
    }

    fn needs_moment_input(&self, call: &Call<'_>) -> bool {
        self.nesterov || call.fields[BUFFER].is_empty()
    }

    /// Computes the buffer, or in Nesterov's form μ·buffer + its input, or without a momentum the input.
    fn update_direction(
        &self,
        call: &Call<'_>,
        index: usize,
        _: u64,
        moment_input: Option<Tensor>,
    ) -> Result<Option<Tensor>, TchError> {
        let Some(buffer) = call.fields[BUFFER].get(index) else { return Ok(moment_input) };
        let buffer = Upcast::of(buffer)?.tensor;
        match moment_input {
            Some(input) if self.nesterov => buffer.f_mul_scalar(call.momentum)?.f_add(&input).map(Some),
            _ => Ok(Some(buffer)),
        }
    }
}
