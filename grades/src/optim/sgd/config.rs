//! The hyperparameters of SGD.

use tch::nn::VarStore;

use super::Sgd;
use crate::Result;
use crate::optim::validate::Ranges;
use crate::optim::{HalfPrecision, Implementation};
use crate::parameters::Parameters;

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
    pub(super) momentum: f64,
    pub(super) dampening: f64,
    pub(super) wd: f64,
    pub(super) nesterov: bool,
    pub(super) half_precision: HalfPrecision,
    pub(super) implementation: Implementation,
}

impl SgdConfig {
    /// Plain gradient descent.
    pub fn new() -> Self {
        Self::default()
    }

    /// The share of the old update that is kept; at least 0.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// The share of the gradient that is left out of the momentum, but for the first; finite.
    pub fn dampening(mut self, dampening: f64) -> Self {
        self.dampening = dampening;
        self
    }

    /// The weight decay, added to the gradient; at least 0.
    pub fn wd(mut self, wd: f64) -> Self {
        self.wd = wd;
        self
    }

    /// Nesterov's momentum; needs a momentum and no dampening.
    pub fn nesterov(mut self, nesterov: bool) -> Self {
        self.nesterov = nesterov;
        self
    }

    /// What is kept for bf16 and f16 parameters; as PyTorch does unless told otherwise.
    pub fn half_precision(mut self, half_precision: HalfPrecision) -> Self {
        self.half_precision = half_precision;
        self
    }

    /// How updates are computed; fused unless told otherwise.
    pub fn implementation(mut self, implementation: Implementation) -> Self {
        self.implementation = implementation;
        self
    }

    /// The optimizer of the trainable variables of `vs`; variables that are added to `vs` later are not its own.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::Error::Config) that names each value out of range, and those of
    /// [`Parameters::from_var_store`].
    pub fn build(self, vs: &VarStore, lr: f64) -> Result<Sgd> {
        let dampening = self.dampening;
        self.momentum_range(self.momentum)
            .rule("dampening", dampening.is_finite(), || format!("{dampening} is not finite"))
            .rule("dampening", !self.nesterov || dampening == 0.0, || {
                format!("{dampening} is not 0, which nesterov needs")
            })
            .not_negative("wd", self.wd)
            .not_negative("lr", lr)
            .check()?;
        Ok(Sgd::new(self, Parameters::from_var_store(vs)?, lr))
    }

    /// Also asked when the momentum is changed later.
    pub(super) fn momentum_range(&self, momentum: f64) -> Ranges {
        Ranges::default().not_negative("momentum", momentum).rule(
            "nesterov",
            !self.nesterov || momentum > 0.0,
            || format!("true needs a momentum above 0, not {momentum}"),
        )
    }
}
