//! Buckets of gradients, from `csrc/distributed`.

use std::ffi::c_char;
use std::fmt;

use tch::Tensor;

use super::distributed::{Outcome, ProcessGroup, RawGroup, c_text, outcome, signed};
use super::{Handle, Message};

/// `grades_buckets` of `csrc/distributed/buckets.cpp`.
#[repr(C)]
struct RawBuckets {
    _private: [u8; 0],
}

/// `grades_traffic` of `csrc/distributed/group.h`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RawTraffic {
    pub(crate) bytes: u64,
    pub(crate) buckets: u64,
    pub(crate) early: u64,
    pub(crate) waited: f64,
}

unsafe extern "C" {
    fn grades_buckets_new(
        group: *mut RawGroup,
        parameters: *const Handle,
        names: *const *const c_char,
        bucket: *const usize,
        owner: *const i64,
        n: usize,
        buckets: usize,
        early: usize,
        wide: bool,
        out: *mut *mut RawBuckets,
    ) -> Message;
    fn grades_buckets_free(buckets: *mut RawBuckets);
    fn grades_buckets_begin(buckets: *mut RawBuckets) -> Message;
    fn grades_buckets_reset(buckets: *mut RawBuckets) -> Message;
    fn grades_buckets_finish(
        buckets: *mut RawBuckets,
        extra: *mut f64,
        n: usize,
        traffic: *mut RawTraffic,
    ) -> Message;
    fn grades_buckets_bytes(buckets: *mut RawBuckets, out: *mut u64) -> Message;
}

/// One parameter of a list of buckets.
#[derive(Debug)]
pub(crate) struct Member<'a> {
    pub(crate) name: &'a str,
    pub(crate) tensor: &'a Tensor,
    pub(crate) bucket: usize,
    /// The rank that updates it; `None` where all do.
    pub(crate) owner: Option<usize>,
}

/// The numbers of buckets: all, and those that may be sent during the backward pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) all: usize,
    pub(crate) early: usize,
}

/// Hooks on parameters, and the buckets that they fill.
pub(crate) struct BucketHooks {
    raw: *mut RawBuckets,
}

// SAFETY: as for `Store`; the C++ side locks, since hooks run on autograd's threads.
unsafe impl Send for BucketHooks {}

impl BucketHooks {
    pub(crate) fn new(
        group: &ProcessGroup,
        members: &[Member<'_>],
        counts: Counts,
        wide: bool,
    ) -> Outcome<Self> {
        let parameters: Vec<Handle> = members.iter().map(|member| member.tensor.as_ptr()).collect();
        let texts = members.iter().map(|member| c_text(member.name)).collect::<Outcome<Vec<_>>>()?;
        let names: Vec<*const c_char> = texts.iter().map(|name| name.as_ptr()).collect();
        let buckets: Vec<usize> = members.iter().map(|member| member.bucket).collect();
        let owners: Option<Vec<usize>> = members.iter().map(|member| member.owner).collect();
        let owners = owners.map(|owners| signed(&owners));
        let mut raw = std::ptr::null_mut();
        // SAFETY: see the parent module; the C++ side copies names and shares the tensors' and the group's ownership.
        outcome(unsafe {
            grades_buckets_new(
                group.raw,
                parameters.as_ptr(),
                names.as_ptr(),
                buckets.as_ptr(),
                owners.as_ref().map_or(std::ptr::null(), |owners| owners.as_ptr()),
                members.len(),
                counts.all,
                counts.early,
                wide,
                &mut raw,
            )
        })?;
        Ok(Self { raw })
    }

    /// Begins the last backward pass: from here on each gradient is final when it comes.
    pub(crate) fn begin(&self) -> Outcome<()> {
        // SAFETY: see the parent module.
        outcome(unsafe { grades_buckets_begin(self.raw) })
    }

    /// Returns the bytes of the buckets that are no gradient's now.
    pub(crate) fn bytes(&self) -> Outcome<u64> {
        let mut bytes = 0;
        // SAFETY: see the parent module.
        outcome(unsafe { grades_buckets_bytes(self.raw, &mut bytes) })?;
        Ok(bytes)
    }

    /// Begins the gradients of the next step.
    pub(crate) fn reset(&self) -> Outcome<()> {
        // SAFETY: see the parent module.
        outcome(unsafe { grades_buckets_reset(self.raw) })
    }

    /// Sends the other buckets, and waits for all; `extra` are further numbers to sum.
    pub(crate) fn finish(&self, extra: &mut [f64]) -> Outcome<RawTraffic> {
        let mut traffic = RawTraffic::default();
        // SAFETY: see the parent module.
        outcome(unsafe { grades_buckets_finish(self.raw, extra.as_mut_ptr(), extra.len(), &mut traffic) })?;
        Ok(traffic)
    }
}

impl Drop for BucketHooks {
    fn drop(&mut self) {
        // SAFETY: nothing else frees it; the hooks that refer to it are removed first.
        unsafe { grades_buckets_free(self.raw) }
    }
}

impl fmt::Debug for BucketHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BucketHooks").finish_non_exhaustive()
    }
}
