//! The kernels that apply an update: which one takes a parameter, and how they are called.

use tch::{Device, Kind, Tensor};

use super::ffi;
pub(crate) use super::ffi::{AdamCall, Route, SgdCall, StepSum, Updated, adam, sgd};
use crate::Result;
use crate::optim::Implementation;

/// One of libtorch's fused optimizer kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Adam,
    AdamW,
    Sgd,
}

/// Whose arithmetic applies an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// Ours, on the CPU.
    Cpu,
    /// libtorch's fused kernels.
    Libtorch,
    /// Tensor operations.
    Reference,
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

    /// Whose arithmetic updates this parameter.
    ///
    /// The kernels walk through memory, so a parameter with gaps or overlaps is not for them. In half precision
    /// libtorch's SGD kernel for the CPU leaves most elements as they are (pytorch/pytorch#191763, in torch 2.11 to
    /// 2.13), so it is not used.
    pub(crate) fn kernel(self, parameter: &Tensor, implementation: Implementation) -> Result<Kernel> {
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
        if implementation == Implementation::Reference || parameter.numel() == 0 || !ffi::is_dense(parameter)?
        {
            return Ok(Kernel::Reference);
        }
        if !cuda && implementation == Implementation::Fused {
            return Ok(Kernel::Cpu);
        }
        let trusted = cuda || !half || self != Operation::Sgd;
        let there = trusted && ffi::has_kernel(self.name(), cuda)?;
        Ok(if there { Kernel::Libtorch } else { Kernel::Reference })
    }
}
