//! The three layers that BERT is made of; their variables are created uninitialised and filled by `load`.

use grades_lora::Linear;
use tch::nn::Path;
use tch::{Kind, TchError, Tensor};

use crate::files::{Dtypes, variable};

/// Creates a matrix with a bias: [.., inputs] → [.., outputs].
pub(super) fn linear(path: &Path, inputs: i64, outputs: i64, dtypes: Dtypes) -> Result<Linear, TchError> {
    let kind = dtypes.parameters;
    let weight = variable(path, "weight", &[outputs, inputs], kind)?;
    Ok(dtypes.linear(weight, Some(variable(path, "bias", &[outputs], kind)?)))
}

/// Normalisation of the last dimension.
#[derive(Debug)]
pub(super) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    width: i64,
    eps: f64,
}

impl LayerNorm {
    pub(super) fn new(path: &Path, width: i64, eps: f64, kind: Kind) -> Result<Self, TchError> {
        let weight = variable(path, "weight", &[width], kind)?;
        let bias = variable(path, "bias", &[width], kind)?;
        Ok(Self { weight, bias, width, eps })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_layer_norm(self.width, Some(&self.weight), Some(&self.bias), self.eps, true)
    }

    /// Returns whether one of its parameters takes a gradient.
    pub(super) fn is_trained(&self) -> bool {
        self.weight.requires_grad() || self.bias.requires_grad()
    }
}

/// A table of vectors: [..] i64 → [.., width].
#[derive(Debug)]
pub(super) struct Embedding {
    pub(super) weight: Tensor,
    /// The row without gradient, or -1.
    padding: i64,
}

impl Embedding {
    pub(super) fn new(
        path: &Path,
        rows: i64,
        width: i64,
        padding: Option<i64>,
        kind: Kind,
    ) -> Result<Self, TchError> {
        let weight = variable(path, "weight", &[rows, width], kind)?;
        Ok(Self { weight, padding: padding.unwrap_or(-1) })
    }

    pub(super) fn forward(&self, ids: &Tensor) -> Result<Tensor, TchError> {
        Tensor::f_embedding(&self.weight, ids, self.padding, false, false)
    }
}

/// Applies dropout that costs nothing when it does nothing.
pub(super) fn dropout(x: Tensor, p: f64, train: bool) -> Result<Tensor, TchError> {
    if train && p > 0.0 { x.f_dropout(p, true) } else { Ok(x) }
}
