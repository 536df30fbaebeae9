//! The device of a run.

use std::fmt;
use std::str::FromStr;

use grades::schema::unknown_name;
use grades::{Error, Problems};
use serde::{Serialize, Serializer};
use tch::{Cuda, Device};

/// The device of a run, as the user chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first GPU if there is one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU of this number.
    Cuda(usize),
}

impl DeviceChoice {
    /// Returns the device itself.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when a GPU is asked for that is not there.
    pub fn device(self) -> Result<Device, Error> {
        match self {
            Self::Auto => Ok(Device::cuda_if_available()),
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(index) => {
                let count = usize::try_from(Cuda::device_count()).unwrap_or(0);
                if Cuda::is_available() && index < count {
                    return Ok(Device::Cuda(index));
                }
                let message =
                    format!("{self} is not there: libtorch sees {count} GPUs; `finetune doctor` says why");
                Err(Problems::of("model.device", message).into())
            }
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        match word {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            other => match other.strip_prefix("cuda:").and_then(|index| index.parse().ok()) {
                Some(index) => Ok(Self::Cuda(index)),
                None => Err(unknown_name("device", word, ["auto", "cpu", "cuda", "cuda:N"])),
            },
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl Serialize for DeviceChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
