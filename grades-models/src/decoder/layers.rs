//! The layers that a decoder is made of; their variables are created uninitialised and filled by `load`.

use tch::nn::Path;
use tch::{Kind, TchError, Tensor};

use crate::files::variable;
use crate::flops::{Matmuls, Per, linear_matmuls};

/// The dtypes of a model: of its parameters, and of its matmuls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dtypes {
    pub(super) parameters: Kind,
    /// Differs from that of the parameters under autocast.
    pub(super) compute: Kind,
}

/// A matrix, with a bias in some models, and with adapters: `[.., inputs]` → `[.., outputs]`.
#[derive(Debug)]
pub(super) struct Linear {
    inner: grades_lora::Linear,
    dtypes: Dtypes,
}

impl Linear {
    pub(super) fn new(
        path: &Path,
        inputs: i64,
        outputs: i64,
        bias: bool,
        dtypes: Dtypes,
    ) -> Result<Self, TchError> {
        let weight = variable(path, "weight", &[outputs, inputs], dtypes.parameters)?;
        let bias = bias.then(|| variable(path, "bias", &[outputs], dtypes.parameters)).transpose()?;
        Ok(Self { inner: grades_lora::Linear::new(weight, bias), dtypes })
    }

    /// Computes the layer; adapters' dropout is active iff `train`.
    pub(super) fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor, TchError> {
        let Dtypes { parameters, compute } = self.dtypes;
        if parameters == compute {
            return self.inner.forward(x, train);
        }
        if self.inner.adapters().is_empty() {
            let bias = self.inner.bias().map(|bias| bias.f_to_kind(compute)).transpose()?;
            return x.f_to_kind(compute)?.f_linear(&self.inner.weight().f_to_kind(compute)?, bias);
        }
        // Adapters are f32 whatever the base.
        self.inner.forward(&x.f_to_kind(parameters)?, train)?.f_to_kind(compute)
    }

    /// Adds the matmuls of [`forward`](Self::forward).
    pub(super) fn matmuls(&self, matmuls: &mut Matmuls, x: bool) -> bool {
        linear_matmuls(matmuls, &self.inner, Per::Token, x)
    }

    /// Returns the layer itself, to add adapters to.
    pub(super) fn inner_mut(&mut self) -> &mut grades_lora::Linear {
        &mut self.inner
    }
}

/// Normalisation of the last dimension by its root mean square (Zhang and Sennrich, arXiv 1910.07467).
#[derive(Debug)]
pub(super) struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    pub(super) fn new(path: &Path, width: i64, eps: f64, dtypes: Dtypes) -> Result<Self, TchError> {
        Ok(Self { weight: variable(path, "weight", &[width], dtypes.parameters)?, eps })
    }

    /// Normalises. The mean is taken in f32; the result is rounded to the kind of `x` before the weight multiplies it.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let kind = x.f_kind()?;
        let wide = if kind == Kind::Double { x.shallow_clone() } else { x.f_to_kind(Kind::Float)? };
        let mean = wide.f_square()?.f_mean_dim(-1i64, true, None::<Kind>)?;
        let scale = mean.f_add_scalar(self.eps)?.f_rsqrt()?;
        wide.f_mul(&scale)?.f_to_kind(kind)?.f_mul(&self.weight)
    }

    /// Returns whether its weight takes a gradient.
    pub(super) fn is_trained(&self) -> bool {
        self.weight.requires_grad()
    }
}

/// Applies dropout that costs nothing when it does nothing.
pub(super) fn dropout(x: Tensor, p: f64, train: bool) -> Result<Tensor, TchError> {
    if train && p > 0.0 { x.f_dropout(p, true) } else { Ok(x) }
}
