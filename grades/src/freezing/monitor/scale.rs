//! The factor that a step multiplies the gradients by.

use tch::Tensor;

use crate::optim::GradScale;

/// The factor that a step multiplies the gradients by.
#[derive(Debug)]
pub(in crate::freezing) enum Scale {
    One,
    Factor(f64),
    /// The factor that brings the norm down to this, as one over a scalar on the gradients' device.
    ToNorm(f64, Tensor),
}

impl Scale {
    /// Returns the factor for the inner optimizer.
    pub(super) fn for_update(&self) -> GradScale<'_> {
        match self {
            Self::One => GradScale::Factor(1.0),
            Self::Factor(factor) => GradScale::Factor(*factor),
            Self::ToNorm(_, divisor) => GradScale::Divisor(divisor),
        }
    }

    /// Returns the factor as numbers on the host.
    pub(super) fn applied(&self) -> AppliedScale {
        match self {
            Self::One => AppliedScale::Factor(1.0),
            Self::Factor(factor) => AppliedScale::Factor(*factor),
            Self::ToNorm(max, _) => AppliedScale::ToNorm(*max),
        }
    }
}

/// The factor that a step multiplied the gradients by.
#[derive(Debug, Clone, Copy)]
pub(super) enum AppliedScale {
    Factor(f64),
    /// The factor that brought the norm down to this, computed on the gradients' device.
    ToNorm(f64),
}

/// Returns the factor that brings gradients of this norm down to `max`, as in `torch.nn.utils.clip_grad_norm_`; 1 where
/// the norm is not finite.
pub(super) fn clip_factor(norm: f64, max: f64) -> f64 {
    let factor = max / (norm + 1e-6);
    if norm.is_finite() && factor < 1.0 { factor } else { 1.0 }
}
