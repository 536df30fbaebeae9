//! How bf16 and f16 parameters are trained.

use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::parameters::Parameter;

/// What an optimizer keeps for a parameter in half precision, bf16 or f16. The arithmetic is in f32 whatever the choice.
///
/// With β₂ = 0.999 a second moment in bf16 stands still once it is large: each step takes away a thousandth, and bf16
/// rounds to 1 part in 256. And a weight in bf16 does not move by less than 1 part in 512. [`MasterWeights`](Self::MasterWeights)
/// has neither problem, at 8 bytes more per element than [`AsParameter`](Self::AsParameter).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HalfPrecision {
    /// State in the parameter's kind: PyTorch's way.
    #[default]
    AsParameter,
    /// State in f32.
    FloatState,
    /// State in f32, and a copy of the weights in f32 that is updated; the parameter is that copy, rounded.
    ///
    /// Whoever changes the parameter otherwise, such as by loading a file, does so before the first step.
    MasterWeights,
}

impl HalfPrecision {
    /// The kebab-case name.
    pub fn name(self) -> &'static str {
        match self {
            HalfPrecision::AsParameter => "as-parameter",
            HalfPrecision::FloatState => "float-state",
            HalfPrecision::MasterWeights => "master-weights",
        }
    }

    /// A tensor of zeros for the parameter's state.
    pub(super) fn zeros(self, parameter: &Tensor) -> Result<Tensor, tch::TchError> {
        let zeros = parameter.f_zeros_like()?;
        match self {
            HalfPrecision::AsParameter => Ok(zeros),
            HalfPrecision::FloatState | HalfPrecision::MasterWeights if is_half(parameter.kind()) => {
                zeros.f_to_kind(Kind::Float)
            }
            HalfPrecision::FloatState | HalfPrecision::MasterWeights => Ok(zeros),
        }
    }

    /// Whether there is a master copy of this parameter.
    pub(super) fn has_master(self, parameter: &Parameter) -> bool {
        self == HalfPrecision::MasterWeights && is_half(parameter.kind())
    }

    /// The master copy of a parameter, where there is to be one.
    pub(super) fn master(self, parameter: &Parameter) -> Result<Option<Tensor>> {
        if !self.has_master(parameter) {
            return Ok(None);
        }
        let _no_grad = tch::no_grad_guard();
        let copy = parameter.tensor().f_detach().and_then(|tensor| tensor.f_to_kind(Kind::Float));
        let what = || format!("making the master copy of {}", parameter.name());
        copy.map(Some).map_err(|error| Error::torch(what(), &error))
    }
}

fn is_half(kind: Kind) -> bool {
    matches!(kind, Kind::BFloat16 | Kind::Half)
}
