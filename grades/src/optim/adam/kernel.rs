//! One update of many parameters in tensor operations: what the kernels are tested against.

use crate::error::{Error, Result};
use crate::optim::GradScale;
use crate::optim::passes::scaled;
use crate::optim::wide::Wide;
use crate::torch::update::AdamCall;

/// In the order of PyTorch's `_single_tensor_adam`. `counts` holds the number of updates so far, as the call's steps
/// do on the device. Half-precision kinds are computed in f32 and rounded once, as the kernels do.
pub(super) fn reference(call: &AdamCall<'_>, scale: GradScale<'_>, counts: &[u64]) -> Result<Vec<bool>> {
    call.check()?;
    let mut updated = Vec::with_capacity(counts.len());
    for (index, &count) in counts.iter().enumerate() {
        let defined = call.parameters[index].grad().defined();
        if defined {
            one(call, index, scale, count + 1)
                .map_err(|error| Error::torch("an Adam step in tensor operations", &error))?;
        }
        updated.push(defined);
    }
    Ok(updated)
}

fn one(call: &AdamCall<'_>, index: usize, scale: GradScale<'_>, step: u64) -> Result<(), tch::TchError> {
    let AdamCall { lr, betas: (beta1, beta2), weight_decay, eps, .. } = *call;
    let parameter = &call.parameters[index];
    let mut weights = Wide::of(call.masters.get(index).unwrap_or(parameter))?;
    let mut average = Wide::of(&call.averages[index])?;
    let mut square = Wide::of(&call.squares[index])?;
    let mut gradient = scaled(&parameter.grad(), scale)?;
    let _ = call.steps[index].shallow_clone().f_add_scalar_(1)?;

    if weight_decay != 0.0 {
        match call.decoupled {
            true => _ = weights.tensor.f_mul_scalar_(1.0 - lr * weight_decay)?,
            false => gradient = gradient.f_add(&weights.tensor.f_mul_scalar(weight_decay)?)?,
        }
    }
    let _ = average.tensor.f_lerp_(&gradient, 1.0 - beta1)?;
    let _ =
        square.tensor.f_mul_scalar_(beta2)?.f_addcmul_(&gradient.f_mul_scalar(1.0 - beta2)?, &gradient)?;

    let correction1 = 1.0 - beta1.powf(step as f64);
    let correction2 = 1.0 - beta2.powf(step as f64);
    let second = match call.maxima.get(index) {
        Some(maximum) => {
            let largest = Wide::of(maximum)?.tensor.f_maximum(&square.tensor)?;
            maximum.shallow_clone().f_copy_(&largest)?;
            largest
        }
        None => square.tensor.shallow_clone(),
    };
    let denominator = second.f_sqrt()?.f_div_scalar_(correction2.sqrt())?.f_add_scalar_(eps)?;
    let update = average.tensor.f_mul_scalar(-lr / correction1)?;
    let _ = weights.tensor.f_addcdiv_(&update, &denominator)?;

    weights.store(parameter)?;
    average.store(&call.averages[index])?;
    square.store(&call.squares[index])
}
