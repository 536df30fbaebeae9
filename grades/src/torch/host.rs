//! The bytes of tensors, and messages of libtorch as one line.

use std::fmt::Display;

use tch::{Device, TchError, Tensor};

/// The number of bytes of a tensor's elements.
///
/// ```
/// let a = tch::Tensor::zeros([2, 3], (tch::Kind::BFloat16, tch::Device::Cpu));
/// assert_eq!(grades::torch::byte_len(&a), 12);
/// ```
pub fn byte_len(tensor: &Tensor) -> u64 {
    (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64
}

/// Copies a tensor's elements in row-major order to `bytes`, whose old contents are dropped; of any device and layout.
///
/// # Errors
///
/// `TchError` when libtorch refuses.
///
/// ```
/// let mut bytes = Vec::new();
/// grades::torch::copy_bytes(&tch::Tensor::from_slice(&[1u8, 2, 3]), &mut bytes)?;
/// assert_eq!(bytes, [1, 2, 3]);
/// # Ok::<(), tch::TchError>(())
/// ```
pub fn copy_bytes(tensor: &Tensor, bytes: &mut Vec<u8>) -> Result<(), TchError> {
    let host = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
    bytes.resize(host.numel() * host.f_kind()?.elt_size_in_bytes(), 0);
    host.f_copy_data_u8(bytes, host.numel())
}

/// The first line of a message of libtorch; the lines after it are a C++ back trace.
pub fn first_line(message: impl Display) -> String {
    message.to_string().lines().next().unwrap_or("no message").to_owned()
}
