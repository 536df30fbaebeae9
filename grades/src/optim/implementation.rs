//! The implementations of one and the same update, and the choice between them.

use tch::{Device, Kind, Tensor};

use crate::error::Result;
use crate::torch::update::{Operation, is_dense};

/// The implementation with which [`Adam`](super::Adam) and [`Sgd`](super::Sgd) compute an update.
///
/// Whatever the choice, parameters that the kernels cannot update (devices other than the CPU and CUDA, tensors with
/// gaps) are updated as by [`Reference`](Self::Reference).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Implementation {
    /// On the CPU this crate's kernels, which compute the statistics in the pass that applies the update; on CUDA
    /// libtorch's.
    #[default]
    Fused,
    /// libtorch's fused kernels, on the CPU too; statistics are computed in passes of their own.
    Libtorch,
    /// Plain tensor operations, parameter by parameter: the reference that the kernels are tested against.
    Reference,
}

/// The arithmetic that updates one parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernel {
    /// Ours, on the CPU.
    Cpu,
    /// libtorch's fused kernels.
    Libtorch,
    /// Tensor operations.
    Reference,
}

impl Implementation {
    /// Chooses the arithmetic that updates a parameter.
    ///
    /// The kernels run over contiguous memory, so they cannot update a parameter with gaps or overlaps. In half precision
    /// libtorch's SGD kernel for the CPU does not change most elements (pytorch/pytorch#191763, in torch 2.11 to 2.13), so
    /// it is not used.
    pub(super) fn kernel(self, operation: Operation, parameter: &Tensor) -> Result<Kernel> {
        let cuda = match parameter.device() {
            Device::Cpu => false,
            Device::Cuda(_) => true,
            _ => return Ok(Kernel::Reference),
        };
        let half = match parameter.kind() {
            Kind::Float | Kind::Double => false,
            Kind::BFloat16 | Kind::Half => true,
            _ => return Ok(Kernel::Reference),
        };
        if self == Implementation::Reference || parameter.numel() == 0 || !is_dense(parameter)? {
            return Ok(Kernel::Reference);
        }
        if !cuda && self == Implementation::Fused {
            return Ok(Kernel::Cpu);
        }
        let trusted = cuda || !half || operation != Operation::Sgd;
        let available = trusted && operation.is_available(cuda)?;
        Ok(if available { Kernel::Libtorch } else { Kernel::Reference })
    }
}
