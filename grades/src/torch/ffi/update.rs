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

/// What one pass summed of a parameter; what was not wanted is 0.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct StepSum {
    pub(crate) absolute: f64,
    pub(crate) squares: f64,
    pub(crate) averaged: f64,
    pub(crate) moments: f64,
    pub(crate) updates: f64,
}

/// `grades_adam` of `csrc/calls.h`.
#[repr(C)]
struct RawAdam {
    decoupled: bool,
    n: usize,
    parameters: *const Handle,
    masters: *const Handle,
    averages: *const Handle,
    squares: *const Handle,
    maxima: *const Handle,
    steps: *const Handle,
    lr: f64,
    beta1: f64,
    beta2: f64,
    weight_decay: f64,
    eps: f64,
    factor: f64,
    divisor: Handle,
    want: *const u8,
    sums: *mut StepSum,
    updated: *mut u8,
}

/// `grades_sgd` of `csrc/calls.h`.
#[repr(C)]
struct RawSgd {
    n: usize,
    parameters: *const Handle,
    masters: *const Handle,
    buffers: *const Handle,
    lr: f64,
    momentum: f64,
    dampening: f64,
    weight_decay: f64,
    nesterov: bool,
    first: bool,
    factor: f64,
    divisor: Handle,
    want: *const u8,
    sums: *mut StepSum,
    updated: *mut u8,
}

/// Whose kernels apply an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// Ours, on the CPU: what is wanted of each parameter is summed in the same pass; nothing where it is empty.
    Cpu { want: &'a [u8] },
    /// libtorch's, which divide the gradients by a scalar on their device, where there is one.
    Libtorch,
}

/// The lists and numbers of one update by Adam or AdamW. All lists are in the same order.
pub(crate) struct AdamCall<'a> {
    pub(crate) decoupled: bool,
    pub(crate) parameters: &'a [Tensor],
    /// Empty where the parameters are the weights.
    pub(crate) masters: &'a [Tensor],
    pub(crate) averages: &'a [Tensor],
    pub(crate) squares: &'a [Tensor],
    /// Empty without amsgrad.
    pub(crate) maxima: &'a [Tensor],
    pub(crate) steps: &'a [Tensor],
    pub(crate) lr: f64,
    pub(crate) betas: (f64, f64),
    pub(crate) weight_decay: f64,
    pub(crate) eps: f64,
    pub(crate) factor: f64,
    pub(crate) divisor: Option<&'a Tensor>,
}

/// The lists and numbers of one update by SGD. All lists are in the same order.
pub(crate) struct SgdCall<'a> {
    pub(crate) parameters: &'a [Tensor],
    /// Empty where the parameters are the weights.
    pub(crate) masters: &'a [Tensor],
    /// Empty without momentum.
    pub(crate) buffers: &'a [Tensor],
    pub(crate) lr: f64,
    pub(crate) momentum: f64,
    pub(crate) dampening: f64,
    pub(crate) weight_decay: f64,
    pub(crate) nesterov: bool,
    pub(crate) first: bool,
    pub(crate) factor: f64,
    pub(crate) divisor: Option<&'a Tensor>,
}

impl AdamCall<'_> {
    const WHAT: &'static str = "an Adam step";

    /// Checks that all lists are of the same parameters.
    pub(crate) fn check(&self) -> Result<()> {
        let needed = [self.averages, self.squares, self.steps];
        same_length(Self::WHAT, self.parameters.len(), &needed, &[self.masters, self.maxima])
    }
}

impl SgdCall<'_> {
    const WHAT: &'static str = "an SGD step";

    /// Checks that all lists are of the same parameters.
    pub(crate) fn check(&self) -> Result<()> {
        same_length(Self::WHAT, self.parameters.len(), &[], &[self.masters, self.buffers])
    }
}

/// What came of an update, by parameter: whether it had a gradient, and its sums where some were wanted.
pub(crate) struct Updated {
    pub(crate) defined: Vec<bool>,
    pub(crate) sums: Vec<StepSum>,
}

/// The room for what a call writes.
struct Room<'a> {
    want: &'a [u8],
    sums: Vec<StepSum>,
    updated: Vec<u8>,
}

impl<'a> Room<'a> {
    fn new(what: &str, n: usize, route: Route<'a>) -> Result<Self> {
        let want = match route {
            Route::Cpu { want } => want,
            Route::Libtorch => &[],
        };
        if !want.is_empty() && want.len() != n {
            return Err(mismatch(what, n, want.len()));
        }
        Ok(Room { want, sums: vec![StepSum::default(); want.len()], updated: vec![0; n] })
    }

    fn want(&self) -> *const u8 {
        if self.want.is_empty() { std::ptr::null() } else { self.want.as_ptr() }
    }

    fn sums(&mut self) -> *mut StepSum {
        if self.sums.is_empty() { std::ptr::null_mut() } else { self.sums.as_mut_ptr() }
    }

    fn done(self) -> Updated {
        Updated { defined: self.updated.into_iter().map(|defined| defined != 0).collect(), sums: self.sums }
    }
}

pub(crate) fn adam(call: &AdamCall<'_>, route: Route<'_>) -> Result<Updated> {
    let what = AdamCall::WHAT;
    let n = call.parameters.len();
    call.check()?;
    let mut room = Room::new(what, n, route)?;
    let [parameters, masters, averages, squares, maxima, steps] =
        [call.parameters, call.masters, call.averages, call.squares, call.maxima, call.steps].map(handles);
    let raw = RawAdam {
        decoupled: call.decoupled,
        n,
        parameters: parameters.as_ptr(),
        masters: or_null(&masters),
        averages: averages.as_ptr(),
        squares: squares.as_ptr(),
        maxima: or_null(&maxima),
        steps: steps.as_ptr(),
        lr: call.lr,
        beta1: call.betas.0,
        beta2: call.betas.1,
        weight_decay: call.weight_decay,
        eps: call.eps,
        factor: call.factor,
        divisor: call.divisor.map_or(std::ptr::null(), Tensor::as_ptr),
        want: room.want(),
        sums: room.sums(),
        updated: room.updated.as_mut_ptr(),
    };
    // SAFETY: see the parent module; all lists have `n` entries, or are null.
    check(what, unsafe {
        match route {
            Route::Cpu { .. } => grades_cpu_adam(&raw),
            Route::Libtorch => grades_fused_adam(&raw),
        }
    })?;
    Ok(room.done())
}

pub(crate) fn sgd(call: &SgdCall<'_>, route: Route<'_>) -> Result<Updated> {
    let what = SgdCall::WHAT;
    let n = call.parameters.len();
    call.check()?;
    let mut room = Room::new(what, n, route)?;
    let [parameters, masters, buffers] = [call.parameters, call.masters, call.buffers].map(handles);
    let raw = RawSgd {
        n,
        parameters: parameters.as_ptr(),
        masters: or_null(&masters),
        buffers: or_null(&buffers),
        lr: call.lr,
        momentum: call.momentum,
        dampening: call.dampening,
        weight_decay: call.weight_decay,
        nesterov: call.nesterov,
        first: call.first,
        factor: call.factor,
        divisor: call.divisor.map_or(std::ptr::null(), Tensor::as_ptr),
        want: room.want(),
        sums: room.sums(),
        updated: room.updated.as_mut_ptr(),
    };
    // SAFETY: see the parent module; all lists have `n` entries, or are null.
    check(what, unsafe {
        match route {
            Route::Cpu { .. } => grades_cpu_sgd(&raw),
            Route::Libtorch => grades_fused_sgd(&raw),
        }
    })?;
    Ok(room.done())
}

/// Checks lists that must be there, and those that may be empty.
fn same_length(what: &str, n: usize, needed: &[&[Tensor]], optional: &[&[Tensor]]) -> Result<()> {
    let there = optional.iter().filter(|list| !list.is_empty());
    match needed.iter().chain(there).find(|list| list.len() != n) {
        None => Ok(()),
        Some(list) => Err(mismatch(what, n, list.len())),
    }
}

fn mismatch(what: &str, n: usize, other: usize) -> Error {
    Error::torch_message(what, &format!("lists of {n} and {other} entries do not match"))
}
