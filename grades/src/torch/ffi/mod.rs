//! Safe wrappers of the functions of `csrc/`: the only module of `grades` that contains `unsafe`.
//!
//! Safety of all of them: a handle comes from a borrowed [`Tensor`], which outlives the call; each buffer has the length
//! that is passed with it; on the C++ side no exception leaves a function and no pointer is stored.

#![allow(unsafe_code)]

#[cfg(feature = "distributed")]
pub(crate) mod buckets;
#[cfg(feature = "distributed")]
pub(crate) mod distributed;
mod norms;
mod random;
mod update;

pub(crate) use norms::Norms;
pub(crate) use random::{generator_state, set_generator_state};
pub(crate) use update::{AdamCall, Route, SgdCall, StepSums, UpdateCall, Updated, adam, sgd};

use std::borrow::Borrow;
use std::ffi::{CStr, CString, c_char};

use tch::Tensor;
use torch_sys::C_tensor;

use crate::error::{Error, Result};

type Handle = *const C_tensor;
type Message = *mut c_char;

unsafe extern "C" {
    fn grades_free(text: *mut c_char);
    fn grades_identity(tensor: Handle, out: *mut usize) -> Message;
    fn grades_is_dense(tensor: Handle, out: *mut u8) -> Message;
    fn grades_has_gradient(parameters: *const Handle, n: usize, out: *mut u8) -> Message;
    fn grades_drop_gradients(parameters: *const Handle, n: usize) -> Message;
    fn grades_scale_gradients(parameters: *const Handle, n: usize, factor: f64) -> Message;
    fn grades_clamp_gradients(parameters: *const Handle, n: usize, limit: f64) -> Message;
    fn grades_divide_gradients(parameters: *const Handle, n: usize, divisor: Handle) -> Message;
    fn grades_sums(
        tensors: *const Handle,
        n: usize,
        of_gradients: bool,
        absolute: *mut f64,
        squares: *mut f64,
        defined: *mut u8,
    ) -> Message;
    fn grades_versions(headers: *mut u64, library: *mut u64) -> Message;
    fn grades_cpu_capability(out: *mut *mut c_char) -> Message;
    fn grades_library_path(out: *mut *mut c_char) -> Message;
    fn grades_has_kernel(operation: *const c_char, cuda: bool, out: *mut bool) -> Message;
    fn grades_host_syncs(out: *mut u64) -> Message;
    fn grades_empty_cache() -> Message;
    fn grades_move_towards(
        means: *const Handle,
        values: *const Handle,
        shares: *const f64,
        n: usize,
    ) -> Message;
    fn grades_built_for_cuda(out: *mut bool) -> Message;
}

/// Copies and frees a text that the C++ side allocated.
fn owned(text: *mut c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null, ends in a zero byte, and freed here only.
    unsafe {
        let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
        grades_free(text);
        Some(owned)
    }
}

fn check(doing: &str, message: Message) -> Result<()> {
    match owned(message) {
        None => Ok(()),
        Some(message) => Err(Error::torch_message(doing, &message)),
    }
}

fn handles<T: Borrow<Tensor>>(tensors: &[T]) -> Vec<Handle> {
    tensors.iter().map(|tensor| tensor.borrow().as_ptr()).collect()
}

pub(crate) fn identity(tensor: &Tensor) -> Result<usize> {
    let mut out = 0;
    // SAFETY: see the module.
    check("reading a tensor's identity", unsafe { grades_identity(tensor.as_ptr(), &mut out) })?;
    Ok(out)
}

pub(crate) fn is_dense(tensor: &Tensor) -> Result<bool> {
    let mut out = 0;
    // SAFETY: see the module.
    check("reading a tensor's layout", unsafe { grades_is_dense(tensor.as_ptr(), &mut out) })?;
    Ok(out != 0)
}

pub(crate) fn has_gradient<T: Borrow<Tensor>>(parameters: &[T]) -> Result<Vec<u8>> {
    let handles = handles(parameters);
    let mut out = vec![0; handles.len()];
    // SAFETY: see the module.
    check("finding gradients", unsafe {
        grades_has_gradient(handles.as_ptr(), handles.len(), out.as_mut_ptr())
    })?;
    Ok(out)
}

pub(crate) fn drop_gradients<T: Borrow<Tensor>>(parameters: &[T]) -> Result<()> {
    let handles = handles(parameters);
    // SAFETY: see the module.
    check("dropping gradients", unsafe { grades_drop_gradients(handles.as_ptr(), handles.len()) })
}

pub(crate) fn scale_gradients<T: Borrow<Tensor>>(parameters: &[T], factor: f64) -> Result<()> {
    let handles = handles(parameters);
    // SAFETY: see the module.
    check("scaling gradients", unsafe { grades_scale_gradients(handles.as_ptr(), handles.len(), factor) })
}

pub(crate) fn clamp_gradients<T: Borrow<Tensor>>(parameters: &[T], limit: f64) -> Result<()> {
    let handles = handles(parameters);
    // SAFETY: see the module.
    check("clamping gradients", unsafe { grades_clamp_gradients(handles.as_ptr(), handles.len(), limit) })
}

pub(crate) fn divide_gradients<T: Borrow<Tensor>>(parameters: &[T], divisor: &Tensor) -> Result<()> {
    let handles = handles(parameters);
    // SAFETY: see the module.
    check("scaling gradients", unsafe {
        grades_divide_gradients(handles.as_ptr(), handles.len(), divisor.as_ptr())
    })
}

/// Moves each mean towards a value by a share of their difference.
pub(crate) fn move_towards(means: &[&Tensor], values: &[&Tensor], shares: &[f64]) -> Result<()> {
    let (means, values) = (handles(means), handles(values));
    let n = means.len().min(values.len()).min(shares.len());
    // SAFETY: see the module.
    check("averaging weights", unsafe {
        grades_move_towards(means.as_ptr(), values.as_ptr(), shares.as_ptr(), n)
    })
}

/// Returns, of tensors on the CPU or of parameters' gradients, the sums of absolute values, the sums of squares, and
/// whether there is something to sum.
pub(crate) fn sums<T: Borrow<Tensor>>(
    tensors: &[T],
    of_gradients: bool,
) -> Result<(Vec<f64>, Vec<f64>, Vec<u8>)> {
    let handles = handles(tensors);
    let n = handles.len();
    let (mut absolute, mut squares, mut defined) = (vec![0.0; n], vec![0.0; n], vec![0; n]);
    // SAFETY: see the module.
    check("summing gradients", unsafe {
        grades_sums(
            handles.as_ptr(),
            n,
            of_gradients,
            absolute.as_mut_ptr(),
            squares.as_mut_ptr(),
            defined.as_mut_ptr(),
        )
    })?;
    Ok((absolute, squares, defined))
}

fn or_null(handles: &[Handle]) -> *const Handle {
    if handles.is_empty() { std::ptr::null() } else { handles.as_ptr() }
}

/// Returns the versions of the headers and of the loaded library: major, minor and patch in the highest bytes.
pub(crate) fn versions() -> Result<(u64, u64)> {
    let (mut headers, mut library) = (0, 0);
    // SAFETY: see the module.
    check("reading libtorch's version", unsafe { grades_versions(&mut headers, &mut library) })?;
    Ok((headers, library))
}

fn text(doing: &str, function: unsafe extern "C" fn(*mut *mut c_char) -> Message) -> Result<String> {
    let mut out = std::ptr::null_mut();
    // SAFETY: see the module; the text is freed by `owned`.
    check(doing, unsafe { function(&mut out) })?;
    Ok(owned(out).unwrap_or_default())
}

pub(crate) fn cpu_capability() -> Result<String> {
    text("reading libtorch's CPU capability", grades_cpu_capability)
}

pub(crate) fn library_path() -> Result<String> {
    text("reading the path of libtorch", grades_library_path)
}

pub(crate) fn has_kernel(operation: &str, cuda: bool) -> Result<bool> {
    let doing = "finding a kernel of libtorch";
    let operation =
        CString::new(operation).map_err(|error| Error::torch_message(doing, &error.to_string()))?;
    let mut out = false;
    // SAFETY: see the module; the name ends in a zero byte.
    check(doing, unsafe { grades_has_kernel(operation.as_ptr(), cuda, &mut out) })?;
    Ok(out)
}

pub(crate) fn host_syncs() -> Result<u64> {
    let mut out = 0;
    // SAFETY: see the module.
    check("counting host synchronisations", unsafe { grades_host_syncs(&mut out) })?;
    Ok(out)
}

pub(crate) fn built_for_cuda() -> Result<bool> {
    let mut out = false;
    // SAFETY: see the module.
    check("reading how the kernels were built", unsafe { grades_built_for_cuda(&mut out) })?;
    Ok(out)
}

pub(crate) fn empty_cache() -> Result<()> {
    // SAFETY: see the module.
    check("emptying the device's memory cache", unsafe { grades_empty_cache() })
}
