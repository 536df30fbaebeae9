//! Dtypes that a model may have, by their names in torch, `config.json` and safetensors.

use grades_lora::Linear;
use safetensors::tensor::Dtype;
use tch::{Kind, Tensor};

use crate::error::{Error, Result};

/// The dtypes of a model: of its parameters, and of its matmuls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dtypes {
    pub(crate) parameters: Kind,
    /// Differs from that of the parameters under autocast.
    pub(crate) compute: Kind,
}

impl Dtypes {
    /// Creates the dtypes of a model; under autocast it multiplies in bf16.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for a dtype that no model has.
    pub(crate) fn new(parameters: Kind, autocast: bool) -> Result<Self> {
        if dtype_name(parameters).is_none() {
            return Err(Error::Input(format!(
                "a model cannot be loaded as {parameters:?}; supported: Float, Half, BFloat16, Double"
            )));
        }
        Ok(Self { parameters, compute: if autocast { Kind::BFloat16 } else { parameters } })
    }

    /// Returns the dtypes of a layer that multiplies in the dtype of its parameters.
    pub(crate) fn plain(self) -> Self {
        Self { compute: self.parameters, ..self }
    }

    /// Creates a matrix that multiplies in these dtypes.
    pub(crate) fn linear(self, weight: Tensor, bias: Option<Tensor>) -> Linear {
        let linear = Linear::new(weight, bias);
        if self.compute == self.parameters { linear } else { linear.computing_in(self.compute) }
    }
}

/// Returns the name of a dtype in `config.json`, if a model may have it.
pub(crate) fn dtype_name(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Float => Some("float32"),
        Kind::Half => Some("float16"),
        Kind::BFloat16 => Some("bfloat16"),
        Kind::Double => Some("float64"),
        _ => None,
    }
}

/// Returns the lowest finite number of a dtype.
pub(crate) fn lowest_finite(kind: Kind) -> f64 {
    match kind {
        Kind::Half => -65504.0,
        // All bits of the fraction and the largest exponent: -(2 - 2^-7) · 2^127.
        Kind::BFloat16 => -3.3895313892515355e38,
        _ => f64::from(f32::MIN),
    }
}

/// Returns torch's dtype of a safetensors dtype.
pub(super) fn kind_of(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F64 => Some(Kind::Double),
        Dtype::F32 => Some(Kind::Float),
        Dtype::F16 => Some(Kind::Half),
        Dtype::BF16 => Some(Kind::BFloat16),
        _ => None,
    }
}

/// Returns the safetensors dtype of torch's.
pub(super) fn dtype_of(kind: Kind) -> Option<Dtype> {
    match kind {
        Kind::Double => Some(Dtype::F64),
        Kind::Float => Some(Dtype::F32),
        Kind::Half => Some(Dtype::F16),
        Kind::BFloat16 => Some(Dtype::BF16),
        _ => None,
    }
}
