//! The layers that a decoder is made of; their variables are created uninitialised and filled by `load`.

use tch::nn::Path;
use tch::{Kind, TchError, Tensor};

use crate::files::variable;
use crate::flops::{Products, Rows, linear};

/// The kinds of a model: of its variables, and of its products of matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds {
    pub(super) variables: Kind,
    /// Differs from that of the variables under autocast.
    pub(super) products: Kind,
}

/// A matrix, with a bias in some models, and with adapters: `[.., inputs]` → `[.., outputs]`.
#[derive(Debug)]
pub(super) struct Linear {
    inner: grades_lora::Linear,
    kinds: Kinds,
}

impl Linear {
    pub(super) fn new(
        path: &Path,
        inputs: i64,
        outputs: i64,
        bias: bool,
        kinds: Kinds,
    ) -> Result<Self, TchError> {
        let weight = variable(path, "weight", &[outputs, inputs], kinds.variables)?;
        let bias = bias.then(|| variable(path, "bias", &[outputs], kinds.variables)).transpose()?;
        Ok(Self { inner: grades_lora::Linear::new(weight, bias), kinds })
    }

    /// Adapters' dropout is active iff `train`.
    pub(super) fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor, TchError> {
        let Kinds { variables, products } = self.kinds;
        if variables == products {
            return self.inner.forward(x, train);
        }
        if self.inner.adapters().is_empty() {
            let bias = self.inner.bias().map(|bias| bias.f_to_kind(products)).transpose()?;
            return x.f_to_kind(products)?.f_linear(&self.inner.weight().f_to_kind(products)?, bias);
        }
        // Adapters are f32 whatever the base.
        self.inner.forward(&x.f_to_kind(variables)?, train)?.f_to_kind(products)
    }

    /// Adds the products of [`forward`](Self::forward).
    pub(super) fn products(&self, products: &mut Products, x: bool) -> bool {
        linear(products, &self.inner, Rows::Tokens, x)
    }

    /// The layer itself, to put adapters in.
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
    pub(super) fn new(path: &Path, width: i64, eps: f64, kinds: Kinds) -> Result<Self, TchError> {
        Ok(Self { weight: variable(path, "weight", &[width], kinds.variables)?, eps })
    }

    /// The mean is taken in f32; the result is rounded to the kind of `x` before the weight multiplies it.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let kind = x.f_kind()?;
        let wide = if kind == Kind::Double { x.shallow_clone() } else { x.f_to_kind(Kind::Float)? };
        let mean = wide.f_square()?.f_mean_dim(-1i64, true, None::<Kind>)?;
        let scale = mean.f_add_scalar(self.eps)?.f_rsqrt()?;
        wide.f_mul(&scale)?.f_to_kind(kind)?.f_mul(&self.weight)
    }

    /// Whether its weight takes a gradient.
    pub(super) fn is_trained(&self) -> bool {
        self.weight.requires_grad()
    }
}

/// Dropout that costs nothing when it does nothing.
pub(super) fn dropout(x: Tensor, p: f64, train: bool) -> Result<Tensor, TchError> {
    if train && p > 0.0 { x.f_dropout(p, true) } else { Ok(x) }
}
