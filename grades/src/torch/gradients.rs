//! The gradients that parameters hold, many at a time.
//!
//! Every function takes parameters, not gradients, skips those without a gradient, and does nothing for an empty
//! list. Sparse gradients are an error.

use std::borrow::Borrow;

use tch::Tensor;

use super::ffi;
use crate::Result;

/// Two sums over one gradient, reduced in f32 or wider whatever its kind.
///
/// A NaN or an infinity in the gradient is one in the sums.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GradientSums {
    /// Σ |g|, the L1 norm.
    pub absolute: f64,
    /// Σ g², the square of the L2 norm.
    pub squares: f64,
}

/// The sums of each parameter's gradient, `None` for a parameter that has none.
///
/// Kinds: f32, f64, bf16, f16; any shape and layout. On the CPU one parallel pass over all gradients, whose result
/// is the same bits for any number of threads. On other devices one copy to the host per device.
///
/// # Errors
///
/// [`Error::Torch`](crate::Error::Torch) for a sparse gradient or another kind.
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
    let (absolute, squares, defined) = ffi::gradient_sums(parameters)?;
    let sums =
        absolute.into_iter().zip(squares).map(|(absolute, squares)| GradientSums { absolute, squares });
    Ok(sums.zip(defined).map(|(sums, defined)| (defined != 0).then_some(sums)).collect())
}

/// The same sums of tensors themselves, such as an optimizer's moments; all must be defined.
pub(crate) fn sums_of_tensors<T: Borrow<Tensor>>(tensors: &[T]) -> Result<Vec<GradientSums>> {
    let (absolute, squares) = ffi::tensor_sums(tensors)?;
    let sums =
        absolute.into_iter().zip(squares).map(|(absolute, squares)| GradientSums { absolute, squares });
    Ok(sums.collect())
}

/// The sums of those tensors that are there.
pub(crate) fn sums_where_defined(tensors: &[Option<&Tensor>]) -> Result<Vec<Option<GradientSums>>> {
    let there: Vec<&Tensor> = tensors.iter().flatten().copied().collect();
    let mut sums = sums_of_tensors(&there)?.into_iter();
    Ok(tensors.iter().map(|tensor| tensor.and_then(|_| sums.next())).collect())
}

/// Whether each parameter has a gradient.
///
/// # Errors
///
/// [`Error::Torch`](crate::Error::Torch) when libtorch cannot look at a handle.
pub fn defined<T: Borrow<Tensor>>(parameters: &[T]) -> Result<Vec<bool>> {
    Ok(ffi::has_gradient(parameters)?.into_iter().map(|defined| defined != 0).collect())
}

/// Makes gradients undefined, which frees them and makes an optimizer skip their parameters.
///
/// `Tensor::zero_grad` of tch is different: it leaves a gradient of zeros, with which weight decay and momentum
/// still move the parameter.
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

/// Clamps every element of the gradients to `-limit ..= limit`, in place (`torch.nn.utils.clip_grad_value_`).
///
/// # Errors
///
/// [`Error::Torch`](crate::Error::Torch) for a sparse gradient.
pub fn clamp<T: Borrow<Tensor>>(parameters: &[T], limit: f64) -> Result<()> {
    ffi::clamp_gradients(parameters, limit)
}
