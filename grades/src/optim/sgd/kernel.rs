//! One update of many parameters, in two implementations with one signature.

use tch::Tensor;

use crate::optim::wide::Wide;
use crate::torch::fused::{FusedSgd, fused_sgd};
use crate::{Error, Result};

/// The tensors of one call, in the same order.
pub(super) struct Lists<'a> {
    pub(super) parameters: &'a [Tensor],
    /// The momentum buffers; empty without momentum.
    pub(super) buffers: &'a [Tensor],
}

/// The numbers of one call.
pub(super) struct Numbers {
    pub(super) lr: f64,
    pub(super) momentum: f64,
    pub(super) dampening: f64,
    pub(super) weight_decay: f64,
    pub(super) nesterov: bool,
    /// Whether this is the first gradient: the buffers become the gradient.
    pub(super) first: bool,
}

/// libtorch's `_fused_sgd_`. A parameter without a gradient is skipped.
pub(super) fn fused(lists: &Lists<'_>, numbers: &Numbers) -> Result<()> {
    fused_sgd(&FusedSgd {
        parameters: lists.parameters,
        buffers: lists.buffers,
        lr: numbers.lr,
        momentum: numbers.momentum,
        dampening: numbers.dampening,
        weight_decay: numbers.weight_decay,
        nesterov: numbers.nesterov,
        first: numbers.first,
    })
}

/// The same in tensor operations, in the order of PyTorch's `_single_tensor_sgd`. Half-precision kinds are computed
/// in f32 and rounded once, as the fused kernels do.
pub(super) fn reference(lists: &Lists<'_>, numbers: &Numbers) -> Result<()> {
    for (index, parameter) in lists.parameters.iter().enumerate() {
        if parameter.grad().defined() {
            one(parameter, lists.buffers.get(index), numbers)
                .map_err(|error| Error::torch("an SGD step in tensor operations", &error))?;
        }
    }
    Ok(())
}

fn one(parameter: &Tensor, buffer: Option<&Tensor>, numbers: &Numbers) -> Result<(), tch::TchError> {
    let mut wide = Wide::of(parameter)?;
    let mut gradient = Wide::of(&parameter.grad())?.tensor;
    if numbers.weight_decay != 0.0 {
        gradient = gradient.f_add(&wide.tensor.f_mul_scalar(numbers.weight_decay)?)?;
    }
    if let Some(buffer) = buffer {
        let mut momentum = Wide::of(buffer)?;
        if numbers.first {
            momentum.tensor.f_copy_(&gradient)?;
        } else {
            let added = gradient.f_mul_scalar(1.0 - numbers.dampening)?;
            let _ = momentum.tensor.f_mul_scalar_(numbers.momentum)?.f_add_(&added)?;
        }
        momentum.store(buffer)?;
        gradient = match numbers.nesterov {
            true => gradient.f_add(&momentum.tensor.f_mul_scalar(numbers.momentum)?)?,
            false => momentum.tensor,
        };
    }
    let _ = wide.tensor.f_add_(&gradient.f_mul_scalar(-numbers.lr)?)?;
    wide.store(parameter)
}
