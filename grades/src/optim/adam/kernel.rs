//! One update of many parameters, in two implementations with one signature.

use tch::Tensor;

use super::Decay;
use crate::optim::wide::Wide;
use crate::torch::fused::{FusedAdam, fused_adam};
use crate::{Error, Result};

/// The tensors of one call; all lists are in the same order.
pub(super) struct Lists<'a> {
    pub(super) parameters: &'a [Tensor],
    /// First moments.
    pub(super) averages: &'a [Tensor],
    /// Second moments.
    pub(super) squares: &'a [Tensor],
    /// The largest second moments so far; empty without amsgrad.
    pub(super) maxima: &'a [Tensor],
    /// How many updates each parameter has had: f32 scalars on its device.
    pub(super) steps: &'a [Tensor],
}

/// The numbers of one call.
pub(super) struct Numbers {
    pub(super) decay: Decay,
    pub(super) lr: f64,
    pub(super) betas: (f64, f64),
    pub(super) weight_decay: f64,
    pub(super) eps: f64,
}

/// libtorch's `_fused_adam_` and `_fused_adamw_`. A parameter without a gradient is skipped.
pub(super) fn fused(lists: &Lists<'_>, numbers: &Numbers) -> Result<()> {
    fused_adam(&FusedAdam {
        decoupled: numbers.decay == Decay::Decoupled,
        parameters: lists.parameters,
        averages: lists.averages,
        squares: lists.squares,
        maxima: lists.maxima,
        steps: lists.steps,
        lr: numbers.lr,
        betas: numbers.betas,
        weight_decay: numbers.weight_decay,
        eps: numbers.eps,
    })
}

/// The same in tensor operations, in the order of PyTorch's `_single_tensor_adam`. `counts` holds the number of
/// updates so far, as `steps` does on the device. Half-precision kinds are computed in f32 and rounded once, as the
/// fused kernels do.
pub(super) fn reference(lists: &Lists<'_>, numbers: &Numbers, counts: &[u64]) -> Result<()> {
    for (index, &count) in counts.iter().enumerate() {
        if lists.parameters[index].grad().defined() {
            one(lists, index, numbers, count + 1)
                .map_err(|error| Error::torch("an Adam step in tensor operations", &error))?;
        }
    }
    Ok(())
}

fn one(lists: &Lists<'_>, index: usize, numbers: &Numbers, step: u64) -> Result<(), tch::TchError> {
    let Numbers { lr, betas: (beta1, beta2), weight_decay, eps, .. } = *numbers;
    let mut wide = Wide::of(&lists.parameters[index])?;
    let mut average = Wide::of(&lists.averages[index])?;
    let mut square = Wide::of(&lists.squares[index])?;
    let mut gradient = Wide::of(&lists.parameters[index].grad())?.tensor;
    let _ = lists.steps[index].shallow_clone().f_add_scalar_(1)?;

    if weight_decay != 0.0 {
        match numbers.decay {
            Decay::Decoupled => _ = wide.tensor.f_mul_scalar_(1.0 - lr * weight_decay)?,
            Decay::Coupled => gradient = gradient.f_add(&wide.tensor.f_mul_scalar(weight_decay)?)?,
        }
    }
    let _ = average.tensor.f_lerp_(&gradient, 1.0 - beta1)?;
    let _ =
        square.tensor.f_mul_scalar_(beta2)?.f_addcmul_(&gradient.f_mul_scalar(1.0 - beta2)?, &gradient)?;

    let correction1 = 1.0 - beta1.powf(step as f64);
    let correction2 = 1.0 - beta2.powf(step as f64);
    let second = match lists.maxima.get(index) {
        Some(maximum) => {
            let largest = Wide::of(maximum)?.tensor.f_maximum(&square.tensor)?;
            maximum.shallow_clone().f_copy_(&largest)?;
            largest
        }
        None => square.tensor.shallow_clone(),
    };
    let denominator = second.f_sqrt()?.f_div_scalar_(correction2.sqrt())?.f_add_scalar_(eps)?;
    let update = average.tensor.f_mul_scalar(-lr / correction1)?;
    let _ = wide.tensor.f_addcdiv_(&update, &denominator)?;

    wide.store(&lists.parameters[index])?;
    average.store(&lists.averages[index])?;
    square.store(&lists.squares[index])
}
