//! Norms that are gathered on a device and read later.

use std::borrow::Borrow;
use std::fmt;

use tch::Tensor;
use torch_sys::C_tensor;

use super::{Handle, Message, check, handles};
use crate::error::Result;

/// `grades_norms` of `csrc/norms.cpp`.
#[repr(C)]
struct RawNorms {
    _private: [u8; 0],
}

unsafe extern "C" {
    fn grades_norms_new(out: *mut *mut RawNorms) -> Message;
    fn grades_norms_free(norms: *mut RawNorms);
    fn grades_norms_add(
        norms: *mut RawNorms,
        tensors: *const Handle,
        n: usize,
        of_gradients: bool,
        order: i32,
    ) -> Message;
    fn grades_norms_add_values(norms: *mut RawNorms, values: *const Handle, n: usize) -> Message;
    fn grades_norms_clip(
        norms: *mut RawNorms,
        first: usize,
        max: f64,
        divisor: *mut *mut C_tensor,
    ) -> Message;
    fn grades_norms_send(norms: *mut RawNorms) -> Message;
    fn grades_norms_read(norms: *mut RawNorms, out: *mut f64, n: usize, late: bool) -> Message;
}

/// Norms of tensors of one device: added, sent to the host without waiting, and read.
pub(crate) struct Norms {
    raw: *mut RawNorms,
    count: usize,
}

// SAFETY: nothing else has the pointer, and libtorch's tensors and events may be used from any one thread at a time.
unsafe impl Send for Norms {}

impl Norms {
    pub(crate) fn new() -> Result<Self> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: see the parent module; the norms are freed by `drop`.
        check("gathering norms", unsafe { grades_norms_new(&mut raw) })?;
        Ok(Norms { raw, count: 0 })
    }

    /// Adds the norms of this order, 1 or 2, of tensors or of parameters' gradients, which must be defined.
    pub(crate) fn add<T: Borrow<Tensor>>(
        &mut self,
        tensors: &[T],
        of_gradients: bool,
        order: i32,
    ) -> Result<()> {
        let handles = handles(tensors);
        // SAFETY: see the parent module; `raw` lives as long as `self`.
        check("gathering norms", unsafe {
            grades_norms_add(self.raw, handles.as_ptr(), handles.len(), of_gradients, order)
        })?;
        self.count += handles.len();
        Ok(())
    }

    /// Adds values that are on the device already: tensors of one element each.
    pub(crate) fn add_values(&mut self, values: &[&Tensor]) -> Result<()> {
        let handles = handles(values);
        // SAFETY: see the parent module; `raw` lives as long as `self`.
        check("gathering values", unsafe {
            grades_norms_add_values(self.raw, handles.as_ptr(), handles.len())
        })?;
        self.count += handles.len();
        Ok(())
    }

    /// Returns the divisor of gradients that clips the L2 norm over the values from `first` on to `max`: an f32 scalar on
    /// the device. The norm is added as a value.
    pub(crate) fn clip(&mut self, first: usize, max: f64) -> Result<Tensor> {
        let mut divisor = std::ptr::null_mut();
        // SAFETY: see the parent module; the new tensor is freed by `Tensor`.
        let divisor = unsafe {
            check("computing the clip", grades_norms_clip(self.raw, first, max, &mut divisor))?;
            Tensor::from_ptr(divisor)
        };
        self.count += 1;
        Ok(divisor)
    }

    /// Starts the copy to the host; nothing can be added afterwards.
    pub(crate) fn send(&mut self) -> Result<()> {
        // SAFETY: see the parent module.
        check("sending norms", unsafe { grades_norms_send(self.raw) })
    }

    /// Waits for the values, in the order in which they were added; `late` says that the device was given other work since
    /// they were sent.
    pub(crate) fn read(&mut self, late: bool) -> Result<Vec<f64>> {
        let mut values = vec![0.0; self.count];
        // SAFETY: see the parent module; `values` has as many entries as were added.
        check("reading norms", unsafe {
            grades_norms_read(self.raw, values.as_mut_ptr(), values.len(), late)
        })?;
        Ok(values)
    }
}

impl Drop for Norms {
    fn drop(&mut self) {
        // SAFETY: nothing else frees it, and it is not used again.
        unsafe { grades_norms_free(self.raw) }
    }
}

impl fmt::Debug for Norms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Norms").field("count", &self.count).finish_non_exhaustive()
    }
}
