//! The hyperparameters of Adam and AdamW.

use tch::nn::VarStore;

use super::{Adam, Decay};
use crate::Result;
use crate::optim::validate::Ranges;
use crate::optim::{HalfPrecision, Implementation};
use crate::parameters::Parameters;

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
    pub(super) decay: Decay,
    pub(super) beta1: f64,
    pub(super) beta2: f64,
    pub(super) wd: f64,
    pub(super) eps: f64,
    pub(super) amsgrad: bool,
    pub(super) half_precision: HalfPrecision,
    pub(super) implementation: Implementation,
}

impl AdamConfig {
    /// Adam (Kingma and Ba, 2015): the decay is added to the gradient. β = (0.9, 0.999), ε = 1e-8, no decay.
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

    /// AdamW (Loshchilov and Hutter, 2019): the decay shrinks the weights on its own, by lr · wd. As
    /// [`adam`](Self::adam), with a decay of 0.01.
    pub fn adamw() -> Self {
        AdamConfig { decay: Decay::Decoupled, wd: 0.01, ..Self::adam() }
    }

    /// The share of the old first moment that is kept; at least 0, below 1.
    pub fn beta1(mut self, beta1: f64) -> Self {
        self.beta1 = beta1;
        self
    }

    /// The share of the old second moment that is kept; at least 0, below 1.
    pub fn beta2(mut self, beta2: f64) -> Self {
        self.beta2 = beta2;
        self
    }

    /// The weight decay; at least 0.
    pub fn wd(mut self, wd: f64) -> Self {
        self.wd = wd;
        self
    }

    /// What is added to the root of the second moment; at least 0.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Whether to divide by the largest second moment so far (Reddi et al., 2018).
    pub fn amsgrad(mut self, amsgrad: bool) -> Self {
        self.amsgrad = amsgrad;
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
    pub fn build(self, vs: &VarStore, lr: f64) -> Result<Adam> {
        Ranges::default()
            .below_one("beta1", self.beta1)
            .below_one("beta2", self.beta2)
            .not_negative("eps", self.eps)
            .not_negative("wd", self.wd)
            .not_negative("lr", lr)
            .check()?;
        Ok(Adam::new(self, Parameters::from_var_store(vs)?, lr))
    }
}
