//! Bytes of tensors on the host.

use tch::{Device, TchError, Tensor};

/// Returns the number of bytes of a tensor's elements.
///
/// ```
/// let a = tch::Tensor::zeros([2, 3], (tch::Kind::BFloat16, tch::Device::Cpu));
/// assert_eq!(grades::torch::byte_len(&a), 12);
/// ```
pub fn byte_len(tensor: &Tensor) -> u64 {
    (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64
}

/// Copies the elements of a tensor of any device and layout to the host, in row-major order; `bytes` is overwritten.
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
