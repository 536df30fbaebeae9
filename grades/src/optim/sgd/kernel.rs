//! One update of many parameters in tensor operations: what the kernels are tested against.

use tch::Tensor;

use crate::error::{Error, Result};
use crate::optim::GradScale;
use crate::optim::passes::scaled;
use crate::optim::wide::Wide;
use crate::torch::update::SgdCall;

/// In the order of PyTorch's `_single_tensor_sgd`. Half-precision kinds are computed in f32 and rounded once, as the
/// kernels do.
pub(super) fn reference(call: &SgdCall<'_>, scale: GradScale<'_>) -> Result<Vec<bool>> {
    call.check()?;
    let mut updated = Vec::with_capacity(call.parameters.len());
    for (index, parameter) in call.parameters.iter().enumerate() {
        let defined = parameter.grad().defined();
        if defined {
            one(call, index, scale)
                .map_err(|error| Error::torch("an SGD step in tensor operations", &error))?;
        }
        updated.push(defined);
    }
    Ok(updated)
}

fn one(call: &SgdCall<'_>, index: usize, scale: GradScale<'_>) -> Result<(), tch::TchError> {
    let parameter: &Tensor = &call.parameters[index];
    let mut weights = Wide::of(call.masters.get(index).unwrap_or(parameter))?;
    let mut gradient = scaled(&parameter.grad(), scale)?;
    if call.weight_decay != 0.0 {
        gradient = gradient.f_add(&weights.tensor.f_mul_scalar(call.weight_decay)?)?;
    }
    if let Some(buffer) = call.buffers.get(index) {
        let mut momentum = Wide::of(buffer)?;
        if call.first {
            momentum.tensor.f_copy_(&gradient)?;
        } else {
            let added = gradient.f_mul_scalar(1.0 - call.dampening)?;
            let _ = momentum.tensor.f_mul_scalar_(call.momentum)?.f_add_(&added)?;
        }
        momentum.store(buffer)?;
        gradient = match call.nesterov {
            true => gradient.f_add(&momentum.tensor.f_mul_scalar(call.momentum)?)?,
            false => momentum.tensor,
        };
    }
    let _ = weights.tensor.f_add_(&gradient.f_mul_scalar(-call.lr)?)?;
    weights.store(parameter)
}
