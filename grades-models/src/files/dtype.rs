//! Dtypes that a model may have, by their names in torch, `config.json` and safetensors.

use safetensors::tensor::Dtype;
use tch::Kind;

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
