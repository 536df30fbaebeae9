//! The dtype of a model's parameters.

use serde::Serialize;
use tch::Kind;

use super::words::words;

/// The dtype of a model's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point with the range of f32.
    Bf16,
}

words!(Dtype, "dtype", "f32" => Self::F32, "bf16" => Self::Bf16);

impl Dtype {
    /// Returns libtorch's name for it.
    pub fn kind(self) -> Kind {
        match self {
            Self::F32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
        }
    }
}
