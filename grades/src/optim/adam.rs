//! Adam, and AdamW as the same with decoupled weight decay.

use tch::nn::VarStore;
use tch::{Kind, TchError, Tensor};
use toml::Value;

use super::fused::{Call, Fused, KernelFamily, scaled};
use super::groups::Group;
use super::range::Range;
use super::setters::setters;
use super::upcast::Upcast;
use super::{GradScale, HalfPrecision, Implementation, MomentRates};
use crate::error::{Problems, Result};
use crate::parameters::Parameters;
use crate::torch::update::{self, AdamCall, Operation, Route, Updated};

/// Adam and AdamW (PyTorch's `torch.optim.Adam` and `AdamW`).
///
/// A parameter has no state before its first gradient; each counts its own steps. The state of bf16 and f16 parameters is
/// set by [`HalfPrecision`]; the arithmetic is in f32.
///
/// On the CPU one pass over the parameters applies the update and computes the statistics of
/// [`step_measured`](super::InnerOptimizer::step_measured). Its results are the same bits for any number of threads and
/// any vector instructions. A single update in f32 differs from PyTorch's `_single_tensor_adam` by at most 4 units in the
/// last place of the update, lr·m̂ ÷ (√v̂ + ε), and one of the weight.
///
/// See [`AdamConfig`] for an example.
pub type Adam = Fused<AdamConfig>;

/// [`Adam`] built from [`AdamConfig::adamw`].
pub type AdamW = Adam;

/// The action of weight decay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decay {
    /// Through the gradient: Adam.
    Coupled,
    /// On the weights, by lr · wd: AdamW.
    Decoupled,
}

/// Builds [`Adam`]: tch's defaults, tch's names of the setters.
///
/// ```
/// use grades::optim::{AdamConfig, InnerOptimizer};
/// use tch::{Device, Kind, nn};
///
/// let vs = nn::VarStore::new(Device::Cpu);
/// let w = vs.root().ones("w", &[2]);
/// let mut optimizer = AdamConfig::adamw().wd(0.1).build(&vs, 1e-3)?;
/// (&w * &w).sum(Kind::Float).backward();
/// optimizer.step()?;
/// optimizer.zero_grad()?;
/// assert!(w.double_value(&[0]) < 1.0);
///
/// let error = AdamConfig::adam().beta2(1.0).build(&vs, -1.0).unwrap_err().to_string();
/// assert!(error.contains("beta2: 1 is not") && error.contains("lr: -1 is not"));
/// # Ok::<(), grades::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct AdamConfig {
    decay: Decay,
    beta1: f64,
    beta2: f64,
    wd: f64,
    eps: f64,
    amsgrad: bool,
    half_precision: HalfPrecision,
    implementation: Implementation,
}

impl AdamConfig {
    /// Creates Adam (Kingma and Ba, 2015): the decay is added to the gradient. β = (0.9, 0.999), ε = 1e-8, no decay.
    pub fn adam() -> Self {
        AdamConfig {
            decay: Decay::Coupled,
            beta1: 0.9,
            beta2: 0.999,
            wd: 0.0,
            eps: 1e-8,
            amsgrad: false,
            half_precision: HalfPrecision::default(),
            implementation: Implementation::default(),
        }
    }

    /// Creates AdamW (Loshchilov and Hutter, 2019): the decay shrinks the weights on its own, by lr · wd. As
    /// [`adam`](Self::adam), with a decay of 0.01.
    pub fn adamw() -> Self {
        AdamConfig { decay: Decay::Decoupled, wd: 0.01, ..Self::adam() }
    }

    /// Sets the share of the old first moment that remains; at least 0, below 1.
    pub fn beta1(mut self, beta1: f64) -> Self {
        self.beta1 = beta1;
        self
    }

    /// Sets the share of the old second moment that remains; at least 0, below 1.
    pub fn beta2(mut self, beta2: f64) -> Self {
        self.beta2 = beta2;
        self
    }

    /// Sets the weight decay; at least 0.
    pub fn wd(mut self, wd: f64) -> Self {
        self.wd = wd;
        self
    }

    /// Sets ε, which is added to the root of the second moment; at least 0.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Sets whether to divide by the largest second moment so far (Reddi et al., 2018).
    pub fn amsgrad(mut self, amsgrad: bool) -> Self {
        self.amsgrad = amsgrad;
        self
    }

    /// Builds the optimizer of the trainable variables of `vs`; variables that are added later are not among them.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::Error::Config) that names each value out of range, and the errors of
    /// [`Parameters::from_var_store`].
    pub fn build(self, vs: &VarStore, lr: f64) -> Result<Adam> {
        let mut problems = Problems::default();
        Range::BELOW_ONE.report(&mut problems, "beta1", self.beta1);
        Range::BELOW_ONE.report(&mut problems, "beta2", self.beta2);
        Range::NOT_NEGATIVE.report(&mut problems, "eps", self.eps);
        Range::NOT_NEGATIVE.report(&mut problems, "wd", self.wd);
        Range::NOT_NEGATIVE.report(&mut problems, "lr", lr);
        problems.into_result(())?;
        let group = Group { lr, momentum: self.beta1, weight_decay: self.wd };
        Ok(Fused::new(self, group, Parameters::from_var_store(vs)?))
    }
}

setters!(AdamConfig);

/// The fields of the state.
const AVERAGE: usize = 0;
const SQUARE: usize = 1;
const STEP: usize = 2;
const MAXIMUM: usize = 3;

impl KernelFamily for AdamConfig {
    const TYPE: &'static str = "Adam";
    const FIELDS: &'static [&'static str] = &["exp_avg", "exp_avg_sq", "step", "max_exp_avg_sq"];
    const MOMENTUM: &'static str = "beta1";
    const COUNTS_UPDATES: bool = true;
    const FIRST_UPDATE_DIFFERS: bool = false;

    fn name(&self) -> &'static str {
        match self.decay {
            Decay::Coupled => "adam",
            Decay::Decoupled => "adamw",
        }
    }

    fn operation(&self) -> Operation {
        match self.decay {
            Decay::Coupled => Operation::Adam,
            Decay::Decoupled => Operation::AdamW,
        }
    }

    fn half_precision(&self) -> HalfPrecision {
        self.half_precision
    }

    fn implementation(&self) -> Implementation {
        self.implementation
    }

    fn fixed(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("decoupled", Value::Boolean(self.decay == Decay::Decoupled)),
            ("beta2", Value::Float(self.beta2)),
            ("eps", Value::Float(self.eps)),
            ("amsgrad", Value::Boolean(self.amsgrad)),
        ]
    }

    fn momentum_range(&self) -> Range {
        Range::BELOW_ONE
    }

    fn has_coupled_decay(&self) -> bool {
        self.decay == Decay::Coupled
    }

    fn has_moments(&self, _: &[Group]) -> bool {
        true
    }

    fn rates(&self, momentum: f64) -> MomentRates {
        MomentRates { decay: momentum, gain: 1.0 - momentum, first_gain: 1.0 - momentum }
    }

    fn needs_field(&self, field: usize, _: &Group) -> bool {
        field != MAXIMUM || self.amsgrad
    }

    fn saves_field(&self, field: usize, _: bool) -> bool {
        field != MAXIMUM || self.amsgrad
    }

    fn new_field(&self, field: usize, parameter: &Tensor) -> Result<Tensor, TchError> {
        match field {
            STEP => Tensor::f_zeros([], (Kind::Float, parameter.device())),
            _ => self.half_precision.zeros(parameter),
        }
    }

    fn run(&self, call: &Call<'_>, route: Route<'_>) -> Result<Updated> {
        let call = AdamCall {
            update: call.update,
            averages: &call.fields[AVERAGE],
            squares: &call.fields[SQUARE],
            steps: &call.fields[STEP],
            maxima: &call.fields[MAXIMUM],
            betas: (call.momentum, self.beta2),
            eps: self.eps,
            decoupled: self.decay == Decay::Decoupled,
        };
        update::adam(&call, route)
    }

    /// Computes the update in the order of PyTorch's `_single_tensor_adam`.
    fn reference(
        &self,
        call: &Call<'_>,
        index: usize,
        scale: GradScale<'_>,
        steps: u64,
    ) -> Result<(), TchError> {
        let (lr, weight_decay) = (call.update.lr, call.update.weight_decay);
        let (beta1, beta2) = (call.momentum, self.beta2);
        let parameter = &call.update.parameters[index];
        let mut weights = Upcast::of(call.update.masters.get(index).unwrap_or(parameter))?;
        let mut average = Upcast::of(&call.fields[AVERAGE][index])?;
        let mut square = Upcast::of(&call.fields[SQUARE][index])?;
        let mut gradient = scaled(&parameter.grad(), scale)?;
        let _ = call.fields[STEP][index].shallow_clone().f_add_scalar_(1)?;

        if weight_decay != 0.0 {
            match self.decay {
                Decay::Decoupled => _ = weights.tensor.f_mul_scalar_(1.0 - lr * weight_decay)?,
                Decay::Coupled => {
                    gradient = gradient.f_add(&weights.tensor.f_mul_scalar(weight_decay)?)?;
                }
            }
        }
        let _ = average.tensor.f_lerp_(&gradient, 1.0 - beta1)?;
        let _ = square
            .tensor
            .f_mul_scalar_(beta2)?
            .f_addcmul_(&gradient.f_mul_scalar(1.0 - beta2)?, &gradient)?;

        let correction1 = 1.0 - beta1.powf(steps as f64);
        let correction2 = 1.0 - beta2.powf(steps as f64);
        let second = match call.fields[MAXIMUM].get(index) {
            Some(maximum) => {
                let largest = Upcast::of(maximum)?.tensor.f_maximum(&square.tensor)?;
                maximum.shallow_clone().f_copy_(&largest)?;
                largest
            }
            None => square.tensor.shallow_clone(),
        };
        let denominator = second.f_sqrt()?.f_div_scalar_(correction2.sqrt())?.f_add_scalar_(self.eps)?;
        let update = average.tensor.f_mul_scalar(-lr / correction1)?;
        let _ = weights.tensor.f_addcdiv_(&update, &denominator)?;

        weights.store(parameter)?;
        average.store(&call.fields[AVERAGE][index])?;
        square.store(&call.fields[SQUARE][index])
    }

    fn needs_moment_input(&self, _: &Call<'_>) -> bool {
        false
    }

    /// Computes m̂ ÷ (√v̂ + ε).
    fn update_direction(
        &self,
        call: &Call<'_>,
        index: usize,
        steps: u64,
        _: Option<Tensor>,
    ) -> Result<Option<Tensor>, TchError> {
        let steps = i32::try_from(steps).unwrap_or(i32::MAX);
        let (first, second) = (1.0 - call.momentum.powi(steps), 1.0 - self.beta2.powi(steps));
        let square = call.fields[MAXIMUM].get(index).unwrap_or(&call.fields[SQUARE][index]);
        let denominator =
            Upcast::of(square)?.tensor.f_div_scalar(second)?.f_sqrt()?.f_add_scalar(self.eps)?;
        let average = Upcast::of(&call.fields[AVERAGE][index])?.tensor;
        average.f_div_scalar(first)?.f_div(&denominator).map(Some)
    }
}
