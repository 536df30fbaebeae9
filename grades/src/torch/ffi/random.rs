//! The state of random number generators.

use tch::Tensor;
use torch_sys::C_tensor;

use super::{Handle, Message, check};
use crate::error::Result;

unsafe extern "C" {
    fn grades_generator_state(cuda: i64, out: *mut *mut C_tensor) -> Message;
    fn grades_set_generator_state(cuda: i64, state: Handle) -> Message;
}

/// Returns the state as a byte tensor: of the CPU for -1, else of that CUDA device.
pub(crate) fn generator_state(cuda: i64) -> Result<Tensor> {
    let mut out = std::ptr::null_mut();
    // SAFETY: see the module above.
    check("reading the state of random numbers", unsafe { grades_generator_state(cuda, &mut out) })?;
    // SAFETY: without a message there is a tensor, which nobody else frees.
    Ok(unsafe { Tensor::from_ptr(out) })
}

pub(crate) fn set_generator_state(cuda: i64, state: &Tensor) -> Result<()> {
    // SAFETY: see the module above; the state is copied.
    check("restoring the state of random numbers", unsafe {
        grades_set_generator_state(cuda, state.as_ptr())
    })
}
