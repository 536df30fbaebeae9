//! Running means of tensors.

use tch::{Kind, Tensor};

use super::ffi;
use crate::error::{Error, Result};

/// Starts a mean at a tensor: copies it, to f32 where its dtype is narrower.
pub(crate) fn begin(tensor: &Tensor) -> Result<Tensor> {
    let copied = tensor.f_detach().and_then(|values| values.f_to_dtype(kind_of_mean(tensor), false, true));
    copied.map_err(|error| Error::torch("starting a mean of weights", &error))
}

/// Returns the dtype of a tensor's mean.
pub(crate) fn kind_of_mean(tensor: &Tensor) -> Kind {
    match tensor.kind() {
        Kind::Half | Kind::BFloat16 => Kind::Float,
        kind => kind,
    }
}

/// Moves each mean towards a value by a share of their difference, from 0 to 1.
pub(crate) fn move_towards(means: &[&Tensor], values: &[&Tensor], shares: &[f64]) -> Result<()> {
    ffi::move_towards(means, values, shares)
}

/// Copies a mean to the tensor that it belongs to.
pub(crate) fn put(mean: &Tensor, tensor: &Tensor) -> Result<()> {
    let _no_grad = tch::no_grad_guard();
    // The result is another handle to the same tensor.
    let written = tensor.shallow_clone().f_copy_(mean);
    written.map_err(|error| Error::torch("copying a mean of weights to the weights", &error))
}
