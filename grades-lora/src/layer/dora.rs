//! DoRA's norms (Liu et al., arXiv 2402.09353).

use tch::{Kind, TchError, Tensor};

use super::wide;

/// Computes the L2 norm of each row of W + s·B·A, `[outputs]`, in at least f32 and without a gradient, as section 4.3
/// of the paper has it.
///
/// That matrix is never made: by row i, ‖W + s·BA‖² = ‖W‖² + 2s·Σ_r B_ir (W·Aᵀ)_ir + s²·Σ_r B_ir (B·(A·Aᵀ))_ir.
pub(super) fn norms(w: &Tensor, a: &Tensor, b: &Tensor, s: f64) -> Result<Tensor, TchError> {
    let _no_grad = tch::no_grad_guard();
    let kind = wide(w.f_kind()?);
    let w = w.f_to_kind(kind)?;
    let at = a.f_tr()?;
    let squares = w.f_norm_scalaropt_dim(2, [1i64].as_slice(), false)?.f_square()?;
    let cross = w.f_matmul(&at)?.f_mul_scalar(2.0 * s)?;
    let own = b.f_matmul(&a.f_matmul(&at)?)?.f_mul_scalar(s * s)?;
    let rest = cross.f_add(&own)?.f_mul(b)?.f_sum_dim_intlist([1i64].as_slice(), false, None::<Kind>)?;
    squares.f_add(&rest)?.f_clamp_min(0.0)?.f_sqrt()
}

/// Magnitude ÷ norm of an adapter that is frozen, and the state of what it was computed from.
pub(super) struct Gain {
    pub(super) made_of: State,
    pub(super) value: Tensor,
}

/// Where tensors have their numbers and how often they were written to.
pub(super) type State = [(usize, i64); 4];

/// Returns the state of the weight, A, B and the magnitude; `None` when one of them trains, so that nothing is kept.
pub(super) fn state(parts: [&Tensor; 4]) -> Result<Option<State>, TchError> {
    let mut state = State::default();
    for (part, found) in parts.into_iter().zip(&mut state) {
        if part.requires_grad() {
            return Ok(None);
        }
        *found = (part.data_ptr() as usize, part.f_internal_version()?);
    }
    Ok(Some(state))
}
