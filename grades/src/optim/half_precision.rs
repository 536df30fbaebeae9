//! State and master copies of bf16 and f16 parameters.

use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::parameters::Parameter;
use crate::schema::words;

words! {
    /// The state of a parameter in half precision, bf16 or f16. The arithmetic is in f32 whatever the choice.
    ///
    /// With β₂ = 0.999 a second moment in bf16 stops changing once it is large: each step removes a thousandth, and bf16
    /// rounds to 1 part in 256. A weight in bf16 does not move by less than 1 part in 512 either.
    /// [`MasterWeights`](Self::MasterWeights) has neither problem, at 8 bytes more per element than
    /// [`AsParameter`](Self::AsParameter).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum HalfPrecision: "half precision" {
        /// State in the parameter's dtype, as in PyTorch.
        #[default]
        AsParameter = "as-parameter",
        /// State in f32.
        FloatState = "float-state",
        /// State in f32, and a copy of the weights in f32 that is updated; the parameter is that copy, rounded.
        ///
        /// A parameter that is changed otherwise, such as by loading a file, must be changed before the first step.
        MasterWeights = "master-weights",
    }
}

impl HalfPrecision {
    /// Creates a tensor of zeros for the parameter's state.
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

    /// Returns whether this parameter has a master copy.
    pub(super) fn has_master(self, parameter: &Parameter) -> bool {
        self == HalfPrecision::MasterWeights && is_half(parameter.kind())
    }

    /// Makes the master copy of a parameter, if it is to have one.
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
