//! Functions of libtorch that tch does not bind: undefined gradients, sums over many gradients at once, the optimizer
//! kernels, the state of random number generators, and facts about the loaded library.

pub(crate) mod averages;
mod ffi;
pub mod gradients;
mod host;
mod info;
mod random;
pub(crate) mod update;

pub use host::{byte_len, copy_bytes};
pub use info::{FusedKernel, TorchInfo, host_syncs, torch_info};
pub use random::{generator_state, set_generator_state};

pub(crate) use ffi::{Norms, empty_cache};
#[cfg(feature = "distributed")]
pub(crate) use ffi::{buckets, distributed as c10d};

use tch::Tensor;

use crate::error::Result;

/// The identity of a tensor: two handles, such as a tensor and its shallow clone, have the same identity exactly when they
/// refer to one tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(usize);

/// Returns the identity of a tensor of any shape and dtype; it is valid as long as a handle to the tensor lives.
///
/// # Errors
///
/// [`Error::Torch`](crate::Error::Torch) when libtorch cannot read the handle.
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
