//! The functions of `csrc/`, made safe: the only module of the workspace that contains `unsafe`.
//!
//! Safety, for all of them: a handle comes from a borrowed [`Tensor`], which outlives the call; each buffer has
//! the length that is passed with it; the C++ side lets no exception out and keeps no pointer.

#![allow(unsafe_code)]

use std::borrow::Borrow;
use std::ffi::{CStr, CString, c_char};

use tch::Tensor;
use torch_sys::C_tensor;

use crate::{Error, Result};

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
    fn grades_tensor_sums(tensors: *const Handle, n: usize, absolute: *mut f64, squares: *mut f64)
    -> Message;
    fn grades_gradient_sums(
        parameters: *const Handle,
        n: usize,
        absolute: *mut f64,
        squares: *mut f64,
        defined: *mut u8,
    ) -> Message;
    fn grades_fused_adam(
        decoupled: bool,
        n: usize,
        parameters: *const Handle,
        averages: *const Handle,
        squares: *const Handle,
        maxima: *const Handle,
        steps: *const Handle,
        lr: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        eps: f64,
    ) -> Message;
    fn grades_fused_sgd(
        n: usize,
        parameters: *const Handle,
        buffers: *const Handle,
        lr: f64,
        momentum: f64,
        dampening: f64,
        weight_decay: f64,
        nesterov: bool,
        first: bool,
    ) -> Message;
    fn grades_versions(headers: *mut u64, library: *mut u64) -> Message;
    fn grades_cpu_capability(out: *mut *mut c_char) -> Message;
    fn grades_library_path(out: *mut *mut c_char) -> Message;
    fn grades_has_kernel(operation: *const c_char, cuda: bool, out: *mut bool) -> Message;
    fn grades_host_syncs(out: *mut u64) -> Message;
    fn grades_built_for_cuda(out: *mut bool) -> Message;
}

/// Takes ownership of a text that the C++ side allocated.
fn take(text: *mut c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null, ends in a zero byte, and nobody else frees it.
    unsafe {
        let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
        grades_free(text);
        Some(owned)
    }
}

fn check(doing: &str, message: Message) -> Result<()> {
    match take(message) {
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
    check("looking up a tensor", unsafe { grades_identity(tensor.as_ptr(), &mut out) })?;
    Ok(out)
}

pub(crate) fn is_dense(tensor: &Tensor) -> Result<bool> {
    let mut out = 0;
    // SAFETY: see the module.
    check("looking up a tensor's layout", unsafe { grades_is_dense(tensor.as_ptr(), &mut out) })?;
    Ok(out != 0)
}

pub(crate) fn has_gradient<T: Borrow<Tensor>>(parameters: &[T]) -> Result<Vec<u8>> {
    let handles = handles(parameters);
    let mut out = vec![0; handles.len()];
    // SAFETY: see the module.
    check("looking for gradients", unsafe {
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

/// Sums of absolute values, sums of squares, and whether there is a gradient.
pub(crate) fn gradient_sums<T: Borrow<Tensor>>(parameters: &[T]) -> Result<(Vec<f64>, Vec<f64>, Vec<u8>)> {
    let handles = handles(parameters);
    let n = handles.len();
    let (mut absolute, mut squares, mut defined) = (vec![0.0; n], vec![0.0; n], vec![0; n]);
    // SAFETY: see the module.
    check("summing gradients", unsafe {
        grades_gradient_sums(
            handles.as_ptr(),
            n,
            absolute.as_mut_ptr(),
            squares.as_mut_ptr(),
            defined.as_mut_ptr(),
        )
    })?;
    Ok((absolute, squares, defined))
}

/// Sums of absolute values and of squares of tensors.
pub(crate) fn tensor_sums<T: Borrow<Tensor>>(tensors: &[T]) -> Result<(Vec<f64>, Vec<f64>)> {
    let handles = handles(tensors);
    let n = handles.len();
    let (mut absolute, mut squares) = (vec![0.0; n], vec![0.0; n]);
    // SAFETY: see the module.
    check("summing tensors", unsafe {
        grades_tensor_sums(handles.as_ptr(), n, absolute.as_mut_ptr(), squares.as_mut_ptr())
    })?;
    Ok((absolute, squares))
}

/// The lists and numbers of one call of libtorch's `_fused_adam_` or `_fused_adamw_`.
pub(crate) struct FusedAdam<'a> {
    pub(crate) decoupled: bool,
    pub(crate) parameters: &'a [Tensor],
    pub(crate) averages: &'a [Tensor],
    pub(crate) squares: &'a [Tensor],
    /// Empty without amsgrad.
    pub(crate) maxima: &'a [Tensor],
    pub(crate) steps: &'a [Tensor],
    pub(crate) lr: f64,
    pub(crate) betas: (f64, f64),
    pub(crate) weight_decay: f64,
    pub(crate) eps: f64,
}

pub(crate) fn fused_adam(call: &FusedAdam<'_>) -> Result<()> {
    let n = call.parameters.len();
    same_length("fused Adam", n, &[call.averages, call.squares, call.steps])?;
    if !call.maxima.is_empty() {
        same_length("fused Adam", n, &[call.maxima])?;
    }
    let [parameters, averages, squares, maxima, steps] =
        [call.parameters, call.averages, call.squares, call.maxima, call.steps].map(handles);
    // SAFETY: see the module; all lists have `n` entries, or are null.
    check("a fused Adam step", unsafe {
        grades_fused_adam(
            call.decoupled,
            n,
            parameters.as_ptr(),
            averages.as_ptr(),
            squares.as_ptr(),
            or_null(&maxima),
            steps.as_ptr(),
            call.lr,
            call.betas.0,
            call.betas.1,
            call.weight_decay,
            call.eps,
        )
    })
}

/// The lists and numbers of one call of libtorch's `_fused_sgd_`.
pub(crate) struct FusedSgd<'a> {
    pub(crate) parameters: &'a [Tensor],
    /// Empty without momentum.
    pub(crate) buffers: &'a [Tensor],
    pub(crate) lr: f64,
    pub(crate) momentum: f64,
    pub(crate) dampening: f64,
    pub(crate) weight_decay: f64,
    pub(crate) nesterov: bool,
    pub(crate) first: bool,
}

pub(crate) fn fused_sgd(call: &FusedSgd<'_>) -> Result<()> {
    let n = call.parameters.len();
    if !call.buffers.is_empty() {
        same_length("fused SGD", n, &[call.buffers])?;
    }
    let [parameters, buffers] = [call.parameters, call.buffers].map(handles);
    // SAFETY: see the module; the second list has `n` entries, or is null.
    check("a fused SGD step", unsafe {
        grades_fused_sgd(
            n,
            parameters.as_ptr(),
            or_null(&buffers),
            call.lr,
            call.momentum,
            call.dampening,
            call.weight_decay,
            call.nesterov,
            call.first,
        )
    })
}

fn or_null(handles: &[Handle]) -> *const Handle {
    if handles.is_empty() { std::ptr::null() } else { handles.as_ptr() }
}

fn same_length(what: &str, n: usize, lists: &[&[Tensor]]) -> Result<()> {
    match lists.iter().find(|list| list.len() != n) {
        None => Ok(()),
        Some(list) => {
            Err(Error::torch_message(what, &format!("lists of {n} and {} tensors do not match", list.len())))
        }
    }
}

/// The versions of the headers and of the loaded library: major, minor and patch in the highest bytes.
pub(crate) fn versions() -> Result<(u64, u64)> {
    let (mut headers, mut library) = (0, 0);
    // SAFETY: see the module.
    check("asking libtorch for its version", unsafe { grades_versions(&mut headers, &mut library) })?;
    Ok((headers, library))
}

fn text(doing: &str, function: unsafe extern "C" fn(*mut *mut c_char) -> Message) -> Result<String> {
    let mut out = std::ptr::null_mut();
    // SAFETY: see the module; the text becomes ours.
    check(doing, unsafe { function(&mut out) })?;
    Ok(take(out).unwrap_or_default())
}

pub(crate) fn cpu_capability() -> Result<String> {
    text("asking libtorch for its CPU capability", grades_cpu_capability)
}

pub(crate) fn library_path() -> Result<String> {
    text("asking where libtorch was loaded from", grades_library_path)
}

pub(crate) fn has_kernel(operation: &str, cuda: bool) -> Result<bool> {
    let doing = "asking libtorch for a kernel";
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
    check("asking how the kernels were built", unsafe { grades_built_for_cuda(&mut out) })?;
    Ok(out)
}
