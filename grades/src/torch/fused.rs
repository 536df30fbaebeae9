//! libtorch's fused optimizer kernels: where they exist and how they are called.

use tch::{Device, Kind, Tensor};

use super::ffi;
pub(crate) use super::ffi::{FusedAdam, FusedSgd, fused_adam, fused_sgd};
use crate::Result;

/// A fused optimizer kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Adam,
    AdamW,
    Sgd,
}

impl Operation {
    pub(crate) const ALL: [Operation; 3] = [Operation::Adam, Operation::AdamW, Operation::Sgd];

    /// libtorch's name of the operation.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::Adam => "aten::_fused_adam_",
            Operation::AdamW => "aten::_fused_adamw_",
            Operation::Sgd => "aten::_fused_sgd_",
        }
    }

    /// Whether the kernel can update this parameter.
    ///
    /// The kernels walk through memory, so a parameter with gaps or overlaps is not for them. In half precision the
    /// CPU's SGD kernel leaves most elements as they are (pytorch/pytorch#191763, in torch 2.11 to 2.13), so it is not used.
    pub(crate) fn takes(self, parameter: &Tensor) -> Result<bool> {
        let cuda = match parameter.device() {
            Device::Cpu => false,
            Device::Cuda(_) => true,
            _ => return Ok(false),
        };
        let trusted = match parameter.kind() {
            Kind::Float | Kind::Double => true,
            Kind::BFloat16 | Kind::Half => cuda || self != Operation::Sgd,
            _ => false,
        };
        Ok(trusted
            && parameter.numel() > 0
            && ffi::is_dense(parameter)?
            && ffi::has_kernel(self.name(), cuda)?)
    }
}
