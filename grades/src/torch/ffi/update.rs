//! The updates, for the CPU and for devices.

use tch::Tensor;

use super::{Handle, Message, check, handles, or_null};
use crate::error::{Error, Result};

unsafe extern "C" {
    fn grades_cpu_adam(call: *const RawAdam) -> Message;
    fn grades_cpu_sgd(call: *const RawSgd) -> Message;
    fn grades_fused_adam(call: *const RawAdam) -> Message;
    fn grades_fused_sgd(call: *const RawSgd) -> Message;
}

/// The sums of one parameter in one pass; a sum that was not requested is 0.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct StepSums {
    pub(crate) absolute: f64,
    pub(crate) squares: f64,
    pub(crate) moment_input: f64,
    pub(crate) moments: f64,
    pub(crate) updates: f64,
    pub(crate) progress: f64,
}

/// `grades_update` of `csrc/calls.h`.
#[repr(C)]
struct RawUpdate {
    n: usize,
    parameters: *const Handle,
    masters: *const Handle,
    lr: f64,
    weight_decay: f64,
    factor: f64,
    divisor: Handle,
    requests: *const u8,
    sums: *mut StepSums,
    updated: *mut u8,
}

/// `grades_adam` of `csrc/calls.h`.
#[repr(C)]
struct RawAdam {
    update: RawUpdate,
    averages: *const Handle,
    squares: *const Handle,
    maxima: *const Handle,
    steps: *const Handle,
    beta1: f64,
    beta2: f64,
    eps: f64,
    decoupled: bool,
}

/// `grades_sgd` of `csrc/calls.h`.
#[repr(C)]
struct RawSgd {
    update: RawUpdate,
    buffers: *const Handle,
    momentum: f64,
    dampening: f64,
    nesterov: bool,
    first: bool,
}

/// The kernels that apply an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// Ours, on the CPU: the requested sums of each parameter are computed in the same pass; none where the list is empty.
    Cpu { requests: &'a [u8] },
    /// libtorch's, which divide the gradients by a scalar on their device, where there is one.
    Libtorch,
}

/// The lists and numbers of one update by any optimizer. All lists are in the same order.
#[derive(Clone, Copy)]
pub(crate) struct UpdateCall<'a> {
    pub(crate) parameters: &'a [Tensor],
    /// Empty where the parameters are the weights.
    pub(crate) masters: &'a [Tensor],
    pub(crate) lr: f64,
    pub(crate) weight_decay: f64,
    pub(crate) factor: f64,
    pub(crate) divisor: Option<&'a Tensor>,
}

/// An update by Adam or AdamW.
pub(crate) struct AdamCall<'a> {
    pub(crate) update: UpdateCall<'a>,
    pub(crate) averages: &'a [Tensor],
    pub(crate) squares: &'a [Tensor],
    pub(crate) steps: &'a [Tensor],
    /// Empty without amsgrad.
    pub(crate) maxima: &'a [Tensor],
    pub(crate) betas: (f64, f64),
    pub(crate) eps: f64,
    pub(crate) decoupled: bool,
}

/// An update by SGD.
pub(crate) struct SgdCall<'a> {
    pub(crate) update: UpdateCall<'a>,
    /// Empty without momentum.
    pub(crate) buffers: &'a [Tensor],
    pub(crate) momentum: f64,
    pub(crate) dampening: f64,
    pub(crate) nesterov: bool,
    pub(crate) first: bool,
}

/// The outcome of an update, by parameter: whether it had a gradient, and its sums where some were requested.
pub(crate) struct Updated {
    pub(crate) defined: Vec<bool>,
    pub(crate) sums: Vec<StepSums>,
}

impl UpdateCall<'_> {
    /// Calls a kernel, after checking the lengths of all lists: of those that must be full, and of those that may be empty.
    fn run(
        &self,
        doing: &str,
        route: Route<'_>,
        full: &[&[Tensor]],
        optional: &[&[Tensor]],
        kernel: impl FnOnce(RawUpdate) -> Message,
    ) -> Result<Updated> {
        let n = self.parameters.len();
        let requests = match route {
            Route::Cpu { requests } => requests,
            Route::Libtorch => &[],
        };
        let optional = [self.masters].into_iter().chain(optional.iter().copied());
        let lengths = full.iter().map(|list| list.len());
        let lengths = lengths.chain(optional.map(<[Tensor]>::len).filter(|length| *length != 0));
        let mut lengths = lengths.chain([requests.len()].into_iter().filter(|length| *length != 0));
        if let Some(other) = lengths.find(|length| *length != n) {
            let reason = format!("lists of {n} and {other} entries do not match");
            return Err(Error::torch_message(doing, &reason));
        }
        let (parameters, masters) = (handles(self.parameters), handles(self.masters));
        let mut sums = vec![StepSums::default(); requests.len()];
        let mut updated = vec![0; n];
        let message = kernel(RawUpdate {
            n,
            parameters: parameters.as_ptr(),
            masters: or_null(&masters),
            lr: self.lr,
            weight_decay: self.weight_decay,
            factor: self.factor,
            divisor: self.divisor.map_or(std::ptr::null(), Tensor::as_ptr),
            requests: if requests.is_empty() { std::ptr::null() } else { requests.as_ptr() },
            sums: if sums.is_empty() { std::ptr::null_mut() } else { sums.as_mut_ptr() },
            updated: updated.as_mut_ptr(),
        });
        check(doing, message)?;
        Ok(Updated { defined: updated.into_iter().map(|defined: u8| defined != 0).collect(), sums })
    }
}

pub(crate) fn adam(call: &AdamCall<'_>, route: Route<'_>) -> Result<Updated> {
    let full = [call.averages, call.squares, call.steps];
    let [averages, squares, steps] = full.map(handles);
    let maxima = handles(call.maxima);
    call.update.run("an Adam step", route, &full, &[call.maxima], |update| {
        let raw = RawAdam {
            update,
            averages: averages.as_ptr(),
            squares: squares.as_ptr(),
            maxima: or_null(&maxima),
            steps: steps.as_ptr(),
            beta1: call.betas.0,
            beta2: call.betas.1,
            eps: call.eps,
            decoupled: call.decoupled,
        };
        // SAFETY: see the parent module; all lists have `n` entries, or are null.
        unsafe {
            match route {
                Route::Cpu { .. } => grades_cpu_adam(&raw),
                Route::Libtorch => grades_fused_adam(&raw),
            }
        }
    })
}

pub(crate) fn sgd(call: &SgdCall<'_>, route: Route<'_>) -> Result<Updated> {
    let buffers = handles(call.buffers);
    call.update.run("an SGD step", route, &[], &[call.buffers], |update| {
        let raw = RawSgd {
            update,
            buffers: or_null(&buffers),
            momentum: call.momentum,
            dampening: call.dampening,
            nesterov: call.nesterov,
            first: call.first,
        };
        // SAFETY: see the parent module; all lists have `n` entries, or are null.
        unsafe {
            match route {
                Route::Cpu { .. } => grades_cpu_sgd(&raw),
                Route::Libtorch => grades_fused_sgd(&raw),
            }
        }
    })
}
