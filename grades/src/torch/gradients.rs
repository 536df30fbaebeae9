//! The gradients of parameters, many at a time.
//!
//! The arguments of every function are parameters, not gradients. Parameters without a gradient are skipped; an empty list
//! is allowed. Sparse gradients are an error.

use std::borrow::Borrow;

use tch::{Device, Tensor};

use super::Norms;
use super::ffi;
use crate::error::Result;

/// Two sums over one gradient, reduced in f32 or wider whatever its dtype.
///
/// A NaN or an infinity in the gradient is one in the sums.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GradientSums {
    /// Σ |g|, the L1 norm.
    pub absolute: f64,
    /// Σ g², the square of the L2 norm.
    pub squares: f64,
}

/// Sums each parameter's gradient; `None` for a parameter without one.
///
/// Dtypes: f32, f64, bf16, f16; any shape and layout. On the CPU one parallel pass over all gradients, whose result
/// is the same bits for any number of threads. On other devices one copy to the host per device.
///
/// # Errors
///
/// [`Error::Torch`](crate::Error::Torch) for a sparse gradient or another dtype.
///
/// ```
/// use grades::torch::gradients;
/// let w = tch::Tensor::from_slice(&[1f32, -2.0]).set_requires_grad(true);
/// (&w * &w).sum(tch::Kind::Float).backward();
/// let sums = gradients::sums(&[&w])?[0].unwrap();
/// assert_eq!((sums.absolute, sums.squares), (6.0, 20.0));
/// # Ok::<(), grades::Error>(())
/// ```
pub fn sums<T: Borrow<Tensor>>(parameters: &[T]) -> Result<Vec<Option<GradientSums>>> {
    if parameters.iter().all(|parameter| is_on_cpu(parameter.borrow())) {
        return on_cpu(parameters, true);
    }
    let defined = defined(parameters)?;
    let there: Vec<&Tensor> =
        parameters.iter().zip(&defined).filter(|(_, defined)| **defined).map(|(t, _)| t.borrow()).collect();
    let mut sums = anywhere(&there, true)?.into_iter();
    Ok(defined.into_iter().map(|defined| if defined { sums.next() } else { None }).collect())
}

/// Sums tensors themselves, such as an optimizer's moments; all must be defined.
pub(crate) fn sums_of_tensors<T: Borrow<Tensor>>(tensors: &[T]) -> Result<Vec<GradientSums>> {
    let tensors: Vec<&Tensor> = tensors.iter().map(Borrow::borrow).collect();
    anywhere(&tensors, false)
}

pub(crate) fn is_on_cpu(tensor: &Tensor) -> bool {
    tensor.device() == Device::Cpu
}

/// Sums tensors on the CPU, or the gradients of parameters where they are defined.
fn on_cpu<T: Borrow<Tensor>>(tensors: &[T], of_gradients: bool) -> Result<Vec<Option<GradientSums>>> {
    let (absolute, squares, defined) = ffi::sums(tensors, of_gradients)?;
    let sums =
        absolute.into_iter().zip(squares).map(|(absolute, squares)| GradientSums { absolute, squares });
    Ok(sums.zip(defined).map(|(sums, defined)| (defined != 0).then_some(sums)).collect())
}

/// Sums tensors, or gradients that are all defined, device by device.
fn anywhere(tensors: &[&Tensor], of_gradients: bool) -> Result<Vec<GradientSums>> {
    let mut found = vec![GradientSums { absolute: 0.0, squares: 0.0 }; tensors.len()];
    let mut left: Vec<usize> = (0..tensors.len()).collect();
    while let Some(first) = left.first() {
        let device = tensors[*first].device();
        let (here, other) = left.into_iter().partition(|index| tensors[*index].device() == device);
        left = other;
        let here: Vec<usize> = here;
        let list: Vec<&Tensor> = here.iter().map(|index| tensors[*index]).collect();
        if device == Device::Cpu {
            for (index, sums) in here.iter().zip(on_cpu(&list, of_gradients)?) {
                found[*index] = sums.unwrap_or(found[*index]);
            }
            continue;
        }
        let mut norms = Norms::new()?;
        norms.add(&list, of_gradients, 1)?;
        norms.add(&list, of_gradients, 2)?;
        norms.send()?;
        let values = norms.read(false)?;
        let (absolute, second) = values.split_at(here.len());
        for (index, (absolute, norm)) in here.iter().zip(absolute.iter().zip(second)) {
            found[*index] = GradientSums { absolute: *absolute, squares: norm * norm };
        }
    }
    Ok(found)
}

/// Returns whether each parameter has a gradient.
///
/// # Errors
///
/// [`Error::Torch`](crate::Error::Torch) when libtorch cannot read a handle.
pub fn defined<T: Borrow<Tensor>>(parameters: &[T]) -> Result<Vec<bool>> {
    Ok(ffi::has_gradient(parameters)?.into_iter().map(|defined| defined != 0).collect())
}

/// Makes gradients undefined, which frees them and makes an optimizer skip their parameters.
///
/// `Tensor::zero_grad` of tch is different: it leaves a gradient of zeros, so weight decay and momentum still move the
/// parameter.
///
/// # Errors
///
/// [`Error::Torch`](crate::Error::Torch) when libtorch refuses.
///
/// ```
/// use grades::torch::gradients;
/// let w = tch::Tensor::from_slice(&[1f32]).set_requires_grad(true);
/// (&w * 2.0).sum(tch::Kind::Float).backward();
/// gradients::undefine(&[&w])?;
/// assert!(!w.grad().defined());
/// # Ok::<(), grades::Error>(())
/// ```
pub fn undefine<T: Borrow<Tensor>>(parameters: &[T]) -> Result<()> {
    ffi::drop_gradients(parameters)
}

/// Multiplies gradients by a factor, in place (`torch._foreach_mul_`).
///
/// # Errors
///
/// [`Error::Torch`](crate::Error::Torch) for a sparse gradient.
pub fn scale<T: Borrow<Tensor>>(parameters: &[T], factor: f64) -> Result<()> {
    ffi::scale_gradients(parameters, factor)
}

/// Divides gradients by an f32 scalar on their device, in place and without waiting for it.
pub(crate) fn divide<T: Borrow<Tensor>>(parameters: &[T], divisor: &Tensor) -> Result<()> {
    ffi::divide_gradients(parameters, divisor)
}

/// Clamps every element of the gradients to `-limit ..= limit`, in place (`torch.nn.utils.clip_grad_value_`).
///
/// # Errors
///
/// [`Error::Torch`](crate::Error::Torch) for a sparse gradient.
pub fn clamp<T: Borrow<Tensor>>(parameters: &[T], limit: f64) -> Result<()> {
    ffi::clamp_gradients(parameters, limit)
}
