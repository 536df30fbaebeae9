//! The functions that `hidden_act` may name.

use tch::{TchError, Tensor};

/// The function between the two linear layers of a block's feed-forward part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Exact GELU, by the error function (`gelu`, `gelu_python`).
    Gelu,
    /// GELU by its tanh approximation (`gelu_new`, `gelu_pytorch_tanh`, `gelu_fast`, …).
    GeluTanh,
    /// x · sigmoid(1.702 x).
    QuickGelu,
    /// max(x, 0).
    Relu,
    /// The square of `Relu`.
    Relu2,
    /// x · sigmoid(x) (`silu`, `swish`).
    Silu,
    /// Hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// The functions, by the names that Hugging Face has for them.
    const BY_NAME: [(&'static str, Self); 13] = [
        ("gelu", Self::Gelu),
        ("gelu_python", Self::Gelu),
        ("gelu_new", Self::GeluTanh),
        ("gelu_fast", Self::GeluTanh),
        ("gelu_accurate", Self::GeluTanh),
        ("gelu_pytorch_tanh", Self::GeluTanh),
        ("gelu_python_tanh", Self::GeluTanh),
        ("quick_gelu", Self::QuickGelu),
        ("relu", Self::Relu),
        ("relu2", Self::Relu2),
        ("silu", Self::Silu),
        ("swish", Self::Silu),
        ("tanh", Self::Tanh),
    ];

    /// Lists the names understood by [`Activation::from_name`], for messages.
    pub fn names() -> String {
        Self::BY_NAME.map(|(name, _)| name).join(", ")
    }

    /// Returns the function that Hugging Face calls `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::BY_NAME.into_iter().find(|(known, _)| *known == name).map(|(_, activation)| activation)
    }

    /// Applies the function to every element of `x`.
    pub(super) fn apply(self, x: &Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::Gelu => x.f_gelu("none"),
            Self::GeluTanh => x.f_gelu("tanh"),
            Self::QuickGelu => x.f_mul(&x.f_mul_scalar(1.702)?.f_sigmoid()?),
            Self::Relu => x.f_relu(),
            Self::Relu2 => x.f_relu()?.f_square(),
            Self::Silu => x.f_silu(),
            Self::Tanh => x.f_tanh(),
        }
    }
}
