//! The engines that move tensors between ranks.

use std::fmt;

use tch::{Cuda, Device};

use crate::torch::c10d;

/// An engine of c10d that moves tensors between ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// For tensors on the CPU.
    Gloo,
    /// For tensors on CUDA devices, one a rank.
    Nccl,
}

impl Backend {
    /// Both.
    pub const ALL: [Backend; 2] = [Self::Gloo, Self::Nccl];

    /// Returns the engine for tensors on this device.
    pub fn for_device(device: Device) -> Self {
        if device.is_cuda() { Self::Nccl } else { Self::Gloo }
    }

    /// Returns its name, `gloo` or `nccl`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gloo => "gloo",
            Self::Nccl => "nccl",
        }
    }

    /// Returns whether it is for tensors on this device.
    pub fn serves(self, device: Device) -> bool {
        Self::for_device(device) == self
    }

    /// Returns why it cannot be used here; `None` where it can.
    ///
    /// ```
    /// use grades::distributed::Backend;
    /// assert_eq!(Backend::Gloo.unavailable(), None);
    /// ```
    pub fn unavailable(self) -> Option<String> {
        if self == Self::Gloo {
            return None;
        }
        if !c10d::has_nccl().unwrap_or(false) {
            let reason = option_env!("GRADES_WITHOUT_NCCL").unwrap_or("its headers were not found");
            return Some(format!("grades was compiled without it: {reason}"));
        }
        (!Cuda::is_available()).then(|| "there is no CUDA device".to_owned())
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
