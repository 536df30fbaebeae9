//! The layers that a decoder is made of; their variables are created uninitialised and filled by `load`.

use tch::nn::Path;
use tch::{Kind, TchError, Tensor};

use crate::files::{Dtypes, variable};
use crate::flops::{Matmuls, Per, linear_matmuls};

/// A matrix, with a bias in some models, and with adapters: `[.., inputs]` → `[.., outputs]`.
#[derive(Debug)]
pub(super) struct Linear {
    inner: grades_lora::Linear,
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
        Ok(Self { inner: dtypes.linear(weight, bias) })
    }

    /// Computes the layer; adapters' dropout is active iff `train`.
    pub(super) fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor, TchError> {
        self.inner.forward(x, train)
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
    /// The dtype of the result, where it is that of the matmuls that follow.
    output: Option<Kind>,
}

impl RmsNorm {
    pub(super) fn new(path: &Path, width: i64, eps: f64, dtypes: Dtypes) -> Result<Self, TchError> {
        Ok(Self { weight: variable(path, "weight", &[width], dtypes.parameters)?, eps, output: None })
    }

    /// Returns results in the dtype of the matmuls that follow: one cast for all of them.
    pub(super) fn before_matmuls(mut self, dtypes: Dtypes) -> Self {
        self.output = (dtypes.compute != dtypes.parameters).then_some(dtypes.compute);
        self
    }

    /// Normalises. The mean is taken in f32; the result is rounded to the kind of `x` before the weight multiplies it.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let kind = x.f_kind()?;
        let wide = if kind == Kind::Double { x.shallow_clone() } else { x.f_to_kind(Kind::Float)? };
        let mean = wide.f_square()?.f_mean_dim(-1i64, true, None::<Kind>)?;
        let scale = mean.f_add_scalar(self.eps)?.f_rsqrt()?;
        let normed = wide.f_mul(&scale)?.f_to_kind(kind)?.f_mul(&self.weight)?;
        match self.output {
            Some(kind) => normed.f_to_kind(kind),
            None => Ok(normed),
        }
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
