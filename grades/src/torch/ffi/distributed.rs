//! Stores and groups of processes, from `csrc/distributed`.

use std::ffi::{CString, c_char};
use std::fmt;
use std::path::Path;
use std::time::Duration;

use tch::Tensor;

use super::{Handle, Message, handles, owned};

/// `grades_store` of `csrc/distributed/group.cpp`.
#[repr(C)]
struct RawStore {
    _private: [u8; 0],
}

/// `grades_group` of `csrc/distributed/group.h`.
#[repr(C)]
pub(super) struct RawGroup {
    _private: [u8; 0],
}

/// `grades_sum` of `csrc/distributed/group.cpp`.
#[repr(C)]
struct RawSum {
    _private: [u8; 0],
}

/// `grades_rendezvous` of `csrc/distributed/group.cpp`.
#[repr(C)]
struct RawRendezvous {
    file: *const c_char,
    host: *const c_char,
    port: u16,
    serves: bool,
    prefix: *const c_char,
    world: i64,
    timeout: f64,
}

unsafe extern "C" {
    fn grades_store_open(call: *const RawRendezvous, out: *mut *mut RawStore) -> Message;
    fn grades_store_free(store: *mut RawStore);
    fn grades_store_set_timeout(store: *mut RawStore, seconds: f64) -> Message;
    fn grades_store_set(store: *mut RawStore, key: *const c_char, value: *const c_char) -> Message;
    fn grades_store_get(store: *mut RawStore, key: *const c_char, out: *mut *mut c_char) -> Message;
    fn grades_store_has(store: *mut RawStore, key: *const c_char, out: *mut bool) -> Message;
    fn grades_group_new(
        store: *mut RawStore,
        nccl: bool,
        rank: i64,
        world: i64,
        device: i64,
        timeout: f64,
        out: *mut *mut RawGroup,
    ) -> Message;
    fn grades_group_free(group: *mut RawGroup);
    fn grades_group_barrier(group: *mut RawGroup) -> Message;
    fn grades_group_broadcast(group: *mut RawGroup, tensors: *const Handle, n: usize, root: i64) -> Message;
    fn grades_group_share(
        group: *mut RawGroup,
        tensors: *const Handle,
        owners: *const i64,
        n: usize,
        bytes: *mut u64,
    ) -> Message;
    fn grades_group_send(group: *mut RawGroup, tensors: *const Handle, n: usize, to: i64) -> Message;
    fn grades_group_receive(group: *mut RawGroup, tensors: *const Handle, n: usize, from: i64) -> Message;
    fn grades_group_all_reduce(group: *mut RawGroup, tensors: *const Handle, n: usize, op: i32) -> Message;
    fn grades_sum_begin(group: *mut RawGroup, values: *const f64, n: usize, out: *mut *mut RawSum)
    -> Message;
    fn grades_sum_wait(sum: *mut RawSum, values: *mut f64, n: usize) -> Message;
    fn grades_sum_free(sum: *mut RawSum);
    fn grades_has_nccl(out: *mut bool) -> Message;
}

/// The result of a call, whose error is c10d's own message: the caller knows which rank it is and who is gone.
pub(crate) type Outcome<T> = Result<T, String>;

pub(super) fn outcome(message: Message) -> Outcome<()> {
    owned(message).map_or(Ok(()), Err)
}

pub(super) fn c_text(text: &str) -> Outcome<CString> {
    CString::new(text).map_err(|_| format!("{text:?} has a zero byte"))
}

/// The place where ranks find each other.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    File(&'a Path),
    Server { host: &'a str, port: u16, serves: bool },
}

/// A store of texts by key, which all ranks read and write.
pub(crate) struct Store {
    raw: *mut RawStore,
}

// SAFETY: nothing else has the pointer, and c10d's stores may be used from any one thread at a time.
unsafe impl Send for Store {}

impl Store {
    pub(crate) fn open(place: Place<'_>, prefix: &str, world: usize, timeout: Duration) -> Outcome<Self> {
        let (file, host, port, serves) = match place {
            Place::File(path) => (Some(c_text(&path.to_string_lossy())?), None, 0, false),
            Place::Server { host, port, serves } => (None, Some(c_text(host)?), port, serves),
        };
        let prefix = c_text(prefix)?;
        let or_null = |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
        let call = RawRendezvous {
            file: or_null(&file),
            host: or_null(&host),
            port,
            serves,
            prefix: prefix.as_ptr(),
            world: world as i64,
            timeout: timeout.as_secs_f64(),
        };
        let mut raw = std::ptr::null_mut();
        // SAFETY: see the parent module; the texts live until the call returns, and the store is freed by `drop`.
        outcome(unsafe { grades_store_open(&call, &mut raw) })?;
        Ok(Self { raw })
    }

    /// Sets the time after which a call fails.
    pub(crate) fn set_timeout(&self, timeout: Duration) -> Outcome<()> {
        // SAFETY: see the parent module.
        outcome(unsafe { grades_store_set_timeout(self.raw, timeout.as_secs_f64()) })
    }

    pub(crate) fn set(&self, key: &str, value: &str) -> Outcome<()> {
        let (key, value) = (c_text(key)?, c_text(value)?);
        // SAFETY: see the parent module.
        outcome(unsafe { grades_store_set(self.raw, key.as_ptr(), value.as_ptr()) })
    }

    /// Waits until the key is there.
    pub(crate) fn get(&self, key: &str) -> Outcome<String> {
        let key = c_text(key)?;
        let mut out = std::ptr::null_mut();
        // SAFETY: see the parent module; the text is freed by `owned`.
        outcome(unsafe { grades_store_get(self.raw, key.as_ptr(), &mut out) })?;
        Ok(owned(out).unwrap_or_default())
    }

    pub(crate) fn has(&self, key: &str) -> Outcome<bool> {
        let key = c_text(key)?;
        let mut out = false;
        // SAFETY: see the parent module.
        outcome(unsafe { grades_store_has(self.raw, key.as_ptr(), &mut out) })?;
        Ok(out)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: nothing else frees it, and it is not used again.
        unsafe { grades_store_free(self.raw) }
    }
}

/// The connections of this process to all ranks.
pub(crate) struct ProcessGroup {
    pub(super) raw: *mut RawGroup,
}

// SAFETY: as for `Store`.
unsafe impl Send for ProcessGroup {}

impl ProcessGroup {
    /// Connects to all ranks; `cuda` is the device of NCCL, without one the backend is Gloo.
    pub(crate) fn new(
        store: &Store,
        cuda: Option<usize>,
        rank: usize,
        world: usize,
        timeout: Duration,
    ) -> Outcome<Self> {
        let (device, timeout) = (cuda.unwrap_or(0) as i64, timeout.as_secs_f64());
        let mut raw = std::ptr::null_mut();
        // SAFETY: see the parent module; the C++ side shares the store's ownership, and the group is freed by `drop`.
        outcome(unsafe {
            grades_group_new(store.raw, cuda.is_some(), rank as i64, world as i64, device, timeout, &mut raw)
        })?;
        Ok(Self { raw })
    }

    pub(crate) fn barrier(&self) -> Outcome<()> {
        // SAFETY: see the parent module.
        outcome(unsafe { grades_group_barrier(self.raw) })
    }

    pub(crate) fn broadcast(&self, tensors: &[&Tensor], root: usize) -> Outcome<()> {
        let handles = handles(tensors);
        // SAFETY: see the parent module.
        outcome(unsafe { grades_group_broadcast(self.raw, handles.as_ptr(), handles.len(), root as i64) })
    }

    /// Reduces tensors in place: 0 is the sum, 1 the smallest, 2 the largest value.
    pub(crate) fn all_reduce(&self, tensors: &[&Tensor], operation: i32) -> Outcome<()> {
        let handles = handles(tensors);
        // SAFETY: see the parent module.
        outcome(unsafe { grades_group_all_reduce(self.raw, handles.as_ptr(), handles.len(), operation) })
    }

    /// Copies each tensor of its owner to all other ranks; returns the bytes of all tensors.
    pub(crate) fn share(&self, tensors: &[&Tensor], owners: &[usize]) -> Outcome<u64> {
        let (handles, owners) = (handles(tensors), signed(owners));
        let mut bytes = 0;
        // SAFETY: see the parent module; both lists have as many entries as there are tensors.
        outcome(unsafe {
            grades_group_share(self.raw, handles.as_ptr(), owners.as_ptr(), handles.len(), &mut bytes)
        })?;
        Ok(bytes)
    }

    /// Sends tensors on the CPU to one other rank.
    pub(crate) fn send(&self, tensors: &[&Tensor], to: usize) -> Outcome<()> {
        let handles = handles(tensors);
        // SAFETY: see the parent module.
        outcome(unsafe { grades_group_send(self.raw, handles.as_ptr(), handles.len(), to as i64) })
    }

    /// Receives contiguous tensors on the CPU from one other rank.
    pub(crate) fn receive(&self, tensors: &[&Tensor], from: usize) -> Outcome<()> {
        let handles = handles(tensors);
        // SAFETY: see the parent module.
        outcome(unsafe { grades_group_receive(self.raw, handles.as_ptr(), handles.len(), from as i64) })
    }

    /// Begins to sum numbers over all ranks.
    pub(crate) fn begin_sum(&self, values: &[f64]) -> Outcome<PendingSum> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: see the parent module; the values are copied, and the sum is freed by `drop`.
        outcome(unsafe { grades_sum_begin(self.raw, values.as_ptr(), values.len(), &mut raw) })?;
        Ok(PendingSum { raw, count: values.len() })
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // SAFETY: nothing else frees it, and it is not used again; sums and buckets share what they need of it.
        unsafe { grades_group_free(self.raw) }
    }
}

/// Numbers on their way over all ranks.
pub(crate) struct PendingSum {
    raw: *mut RawSum,
    count: usize,
}

// SAFETY: as for `Store`.
unsafe impl Send for PendingSum {}

impl PendingSum {
    /// Waits for the sums.
    pub(crate) fn wait(self) -> Outcome<Vec<f64>> {
        let mut values = vec![0.0; self.count];
        // SAFETY: see the parent module.
        outcome(unsafe { grades_sum_wait(self.raw, values.as_mut_ptr(), values.len()) })?;
        Ok(values)
    }
}

impl Drop for PendingSum {
    fn drop(&mut self) {
        // SAFETY: nothing else frees it, and it is not used again.
        unsafe { grades_sum_free(self.raw) }
    }
}

/// Converts ranks for C++.
pub(super) fn signed(ranks: &[usize]) -> Vec<i64> {
    ranks.iter().map(|rank| *rank as i64).collect()
}

/// Returns whether this build has NCCL.
pub(crate) fn has_nccl() -> Outcome<bool> {
    let mut out = false;
    // SAFETY: see the parent module.
    outcome(unsafe { grades_has_nccl(&mut out) })?;
    Ok(out)
}

macro_rules! opaque {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

opaque!(Store, ProcessGroup, PendingSum);
