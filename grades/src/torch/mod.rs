//! What libtorch can do and tch does not bind: gradients that become undefined, sums over many gradients at
//! once, the optimizer kernels, the state of random numbers, and facts about the library that is loaded.

pub(crate) mod averages;
mod ffi;
pub mod gradients;
mod host;
mod info;
mod random;
pub(crate) mod update;

pub use host::{byte_len, copy_bytes, first_line};
pub use info::{FusedKernel, TorchInfo, host_syncs, torch_info};
pub use random::{generator_state, set_generator_state};

pub(crate) use ffi::{Norms, empty_cache};

use tch::Tensor;

use crate::error::Result;

/// What tells one tensor from another: two handles, such as a tensor and its shallow clone, have the same identity
/// exactly when they are one tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(usize);

/// The identity of a tensor, of any shape and kind; it stays meaningful for as long as a handle to the tensor lives.
///
/// # Errors
///
/// [`Error::Torch`](crate::Error::Torch) when libtorch cannot look at the handle.
///
/// ```
/// use grades::torch::identity;
/// let a = tch::Tensor::zeros([2], (tch::Kind::Float, tch::Device::Cpu));
/// assert_eq!(identity(&a)?, identity(&a.shallow_clone())?);
/// assert_ne!(identity(&a)?, identity(&a.copy())?);
/// # Ok::<(), grades::Error>(())
/// ```
pub fn identity(tensor: &Tensor) -> Result<Identity> {
    ffi::identity(tensor).map(Identity)
}
