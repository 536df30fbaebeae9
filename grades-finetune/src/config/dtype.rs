//! The dtype of a model's parameters.

use grades::schema::words;
use tch::Kind;

words! {
    /// The dtype of a model's parameters, as a configuration names it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Dtype: "dtype" {
        /// 32-bit floating point.
        F32 = "f32",
        /// 16-bit floating point with the range of f32.
        Bf16 = "bf16",
        /// f32, with autocast where that is faster.
        Auto = "auto",
    }
}

impl Dtype {
    /// Returns libtorch's name for it.
    pub fn kind(self) -> Kind {
        match self {
            Self::F32 | Self::Auto => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
        }
    }
}
