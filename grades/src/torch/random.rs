//! The state of libtorch's random number generators, so that dropout continues where it stopped.

use tch::{Device, Kind, Tensor};

use super::ffi;
use crate::error::{Error, Result};

/// Returns the state of a device's default generator: libtorch's own bytes, valid for one version of it.
///
/// # Errors
///
/// [`Error::Unsupported`] for a device that is neither the CPU nor CUDA, [`Error::Torch`] when the device does not exist.
///
/// ```
/// use grades::torch::{generator_state, set_generator_state};
/// use tch::{Device, Kind, Tensor};
///
/// let before = generator_state(Device::Cpu)?;
/// let first = Tensor::rand([3], (Kind::Float, Device::Cpu));
/// set_generator_state(Device::Cpu, &before)?;
/// assert_eq!(Tensor::rand([3], (Kind::Float, Device::Cpu)), first);
/// # Ok::<(), grades::Error>(())
/// ```
pub fn generator_state(device: Device) -> Result<Vec<u8>> {
    let state = ffi::generator_state(number(device)?)?;
    let bytes = state.f_view(-1).and_then(Vec::<u8>::try_from);
    bytes.map_err(|error| Error::torch("reading the state of random numbers", &error))
}

/// Restores a state that [`generator_state`] returned for a device of the same type.
///
/// # Errors
///
/// As [`generator_state`], and [`Error::State`] for bytes of another length, [`Error::Torch`] for bytes that are no state.
pub fn set_generator_state(device: Device, state: &[u8]) -> Result<()> {
    let number = number(device)?;
    // libtorch checks the length too, but only after it has interpreted the bytes.
    let expected = ffi::generator_state(number)?.numel();
    if state.len() != expected {
        return Err(Error::State {
            what: format!("random numbers on {device:?}"),
            reason: format!("it has {} bytes, expected {expected}", state.len()),
        });
    }
    let state = Tensor::f_from_data_size(state, &[expected as i64], Kind::Uint8)
        .map_err(|error| Error::torch("restoring the state of random numbers", &error))?;
    ffi::set_generator_state(number, &state)
}

/// Returns the number of a device on the C++ side.
fn number(device: Device) -> Result<i64> {
    match device {
        Device::Cpu => Ok(-1),
        Device::Cuda(index) => Ok(i64::try_from(index).unwrap_or(i64::MAX)),
        other => Err(Error::Unsupported {
            what: format!("the state of random numbers on {other:?}"),
            reason: "only that of Cpu and Cuda can be read".to_owned(),
        }),
    }
}
