//! The kernels that apply an update.

pub(crate) use super::ffi::is_dense;
pub(crate) use super::ffi::{AdamCall, Route, SgdCall, StepSums, UpdateCall, Updated, adam, sgd};
use crate::error::Result;

/// One of libtorch's fused optimizer kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Adam,
    AdamW,
    Sgd,
}

impl Operation {
    pub(crate) const ALL: [Operation; 3] = [Operation::Adam, Operation::AdamW, Operation::Sgd];

    /// Returns libtorch's name of the operation.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::Adam => "aten::_fused_adam_",
            Operation::AdamW => "aten::_fused_adamw_",
            Operation::Sgd => "aten::_fused_sgd_",
        }
    }

    /// Returns whether libtorch has this kernel for CUDA, or for the CPU.
    pub(crate) fn is_available(self, cuda: bool) -> Result<bool> {
        super::ffi::has_kernel(self.name(), cuda)
    }
}
