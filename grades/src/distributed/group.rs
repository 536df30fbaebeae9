//! A group of processes, and its collective operations.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tch::Tensor;
use tch::nn::VarStore;

use super::backend::Backend;
use super::ranks::Ranks;
use super::roster::Roster;
use crate::error::{Error, Result, first_line};
use crate::torch::c10d::{Outcome, PendingSum, ProcessGroup};
use crate::torch::torch_info;

/// All processes of a run, connected: the handle of one of them.
///
/// Clones are the same group. Every method that talks to the others is *collective*: all ranks call it, in the same order.
/// When the last handle is dropped, the others see that this rank has left.
#[derive(Clone)]
pub struct Group {
    inner: Arc<Inner>,
}

struct Inner {
    rank: usize,
    world: usize,
    backend: Backend,
    // Dropped before the roster, whose store it uses.
    processes: Mutex<ProcessGroup>,
    roster: Mutex<Roster>,
    /// The first failure: nothing works after it.
    failure: OnceLock<String>,
    /// Whether gradients are being sent: other calls would come in between in another order on each rank.
    sending: AtomicBool,
}

/// How values of all ranks become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReduceOp {
    /// Their sum.
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

impl Group {
    /// Connects this process to all ranks, and checks that all have the same version of this crate and of libtorch.
    ///
    /// A rank that has not come, or an operation that has not ended, after `timeout` is an error. With [`Backend::Nccl`] the
    /// rank's tensors are on the CUDA device [`Ranks::local_rank`].
    ///
    /// # Errors
    ///
    /// [`Error::Ranks`] that says which ranks have not come or differ, and [`Error::Unsupported`] for a backend that
    /// cannot be used here.
    pub fn join(ranks: &Ranks, backend: Backend, timeout: Duration) -> Result<Self> {
        if let Some(reason) = backend.unavailable() {
            return Err(Error::Unsupported { what: format!("the backend \"{backend}\""), reason });
        }
        let failed = |reason: String| error(ranks.rank, ranks.world, "joining the group", &reason);
        let info = torch_info()?;
        let version = format!("grades {} on torch {}", env!("CARGO_PKG_VERSION"), info.loaded_version);
        let roster = Roster::meet(ranks, &version, timeout).map_err(failed)?;
        let cuda = (backend == Backend::Nccl).then_some(ranks.local_rank);
        let processes = ProcessGroup::new(roster.store(), cuda, ranks.rank, ranks.world, timeout);
        let processes = processes.map_err(|message| failed(roster.explain(&first_line(message))))?;
        let inner = Inner {
            rank: ranks.rank,
            world: ranks.world,
            backend,
            processes: Mutex::new(processes),
            roster: Mutex::new(roster),
            failure: OnceLock::new(),
            sending: AtomicBool::new(false),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns the number of this process, from 0.
    pub fn rank(&self) -> usize {
        self.inner.rank
    }

    /// Returns the number of ranks.
    pub fn world(&self) -> usize {
        self.inner.world
    }

    /// Returns the engine that moves tensors.
    pub fn backend(&self) -> Backend {
        self.inner.backend
    }

    /// Waits until all ranks are here.
    ///
    /// # Errors
    ///
    /// [`Error::Ranks`] that names a rank which is gone.
    pub fn barrier(&self) -> Result<()> {
        self.call("waiting for all ranks", ProcessGroup::barrier)
    }

    /// Copies the variables of rank 0 to all other ranks.
    ///
    /// # Errors
    ///
    /// [`Error::Ranks`] when the variables have other names, shapes or dtypes on a rank, or a rank is gone.
    pub fn broadcast(&self, vs: &VarStore) -> Result<()> {
        let variables: BTreeMap<String, Tensor> = vs.variables().into_iter().collect();
        let mut text = String::new();
        for (name, tensor) in &variables {
            text += &format!("{name} {:?} {:?}\n", tensor.size(), tensor.kind());
        }
        self.compare("names and shapes of variables", text.as_bytes())?;
        let tensors: Vec<&Tensor> = variables.values().collect();
        self.broadcast_tensors(&tensors, 0)
    }

    /// Copies tensors of rank `root` to all other ranks; shapes and dtypes must be the same.
    ///
    /// # Errors
    ///
    /// As [`barrier`](Self::barrier).
    pub fn broadcast_tensors(&self, tensors: &[&Tensor], root: usize) -> Result<()> {
        self.call("broadcasting tensors", |processes| processes.broadcast(tensors, root))
    }

    /// Reduces each tensor over all ranks, in place; shapes and dtypes must be the same.
    ///
    /// # Errors
    ///
    /// As [`barrier`](Self::barrier).
    pub fn all_reduce(&self, tensors: &[&Tensor], operation: ReduceOp) -> Result<()> {
        let operation = match operation {
            ReduceOp::Sum => 0,
            ReduceOp::Min => 1,
            ReduceOp::Max => 2,
        };
        self.call("reducing tensors", |processes| processes.all_reduce(tensors, operation))
    }

    /// Sums numbers over all ranks. No device is waited for.
    ///
    /// # Errors
    ///
    /// As [`barrier`](Self::barrier).
    pub fn sum(&self, values: &mut [f64]) -> Result<()> {
        let sums = self.call("summing numbers", |processes| processes.begin_sum(values)?.wait())?;
        values.copy_from_slice(&sums);
        Ok(())
    }

    /// Returns the numbers of every rank, in the order of ranks; each rank may have another count of them.
    ///
    /// # Errors
    ///
    /// As [`barrier`](Self::barrier).
    pub fn gather(&self, values: &[f64]) -> Result<Vec<Vec<f64>>> {
        let mut counts = vec![0.0; self.world()];
        counts[self.rank()] = values.len() as f64;
        self.sum(&mut counts)?;
        let counts: Vec<usize> = counts.into_iter().map(|count| count as usize).collect();
        let begin: usize = counts.iter().take(self.rank()).sum();
        let mut all = vec![0.0; counts.iter().sum()];
        all[begin..begin + values.len()].copy_from_slice(values);
        self.sum(&mut all)?;
        let mut rest = all.as_slice();
        let mut lists = Vec::with_capacity(counts.len());
        for count in counts {
            let (list, after) = rest.split_at(count);
            lists.push(list.to_vec());
            rest = after;
        }
        Ok(lists)
    }

    /// Checks that all ranks have the same bytes, such as those of a configuration; `what` is its name in the error.
    ///
    /// # Errors
    ///
    /// [`Error::Ranks`] on every rank, naming those that differ from rank 0.
    pub fn compare(&self, what: &str, bytes: &[u8]) -> Result<()> {
        let sums = self.call("comparing ranks", |processes| {
            processes.begin_sum(&own_entry(crc32fast::hash(bytes), self.rank(), self.world()))?.wait()
        })?;
        self.check_equal(what, &sums)
    }

    /// Begins to compare a number over all ranks; [`end_compare`](Self::end_compare) waits for it.
    pub(super) fn begin_compare(&self, number: u32) -> Result<PendingSum> {
        let entries = own_entry(number, self.rank(), self.world());
        self.call("comparing ranks", |processes| processes.begin_sum(&entries))
    }

    /// Waits for the numbers of all ranks and checks that they are the same.
    pub(super) fn end_compare(&self, what: &str, pending: PendingSum) -> Result<()> {
        let sums = self.call("comparing ranks", |_| pending.wait())?;
        self.check_equal(what, &sums)
    }

    /// Calls an operation; a failure is explained, and every later call fails too.
    pub(super) fn call<T>(
        &self,
        doing: &str,
        operation: impl FnOnce(&ProcessGroup) -> Outcome<T>,
    ) -> Result<T> {
        self.check_idle(doing)?;
        self.call_sending(doing, operation)
    }

    /// Does the same as [`call`](Self::call) for the gradients themselves.
    pub(super) fn call_sending<T>(
        &self,
        doing: &str,
        operation: impl FnOnce(&ProcessGroup) -> Outcome<T>,
    ) -> Result<T> {
        if let Some(failure) = self.inner.failure.get() {
            return Err(error(self.rank(), self.world(), doing, failure));
        }
        let outcome = operation(&self.inner.processes.lock().unwrap_or_else(PoisonError::into_inner));
        outcome.map_err(|message| {
            let roster = self.inner.roster.lock().unwrap_or_else(PoisonError::into_inner);
            let reason = self.inner.failure.get_or_init(|| roster.explain(&first_line(message)));
            error(self.rank(), self.world(), doing, reason)
        })
    }

    /// Sets whether gradients are being sent.
    pub(super) fn set_sending(&self, sending: bool) {
        self.inner.sending.store(sending, Ordering::Relaxed);
    }

    fn check_idle(&self, doing: &str) -> Result<()> {
        if !self.inner.sending.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(Error::Unsupported {
            what: format!("{doing} while gradients are sent"),
            reason: "ranks would do both in different orders; call it before the last backward pass of a step, or after \
                     the step"
                .to_owned(),
        })
    }

    /// Checks that the entries of all ranks are the same.
    fn check_equal(&self, what: &str, entries: &[f64]) -> Result<()> {
        let first = entries.first().copied().unwrap_or_default();
        let differ = entries.iter().enumerate().filter(|(_, entry)| **entry != first);
        let ranks: Vec<String> = differ.map(|(rank, _)| rank.to_string()).collect();
        if ranks.is_empty() {
            return Ok(());
        }
        let (noun, verb) = if ranks.len() == 1 { ("rank", "differs") } else { ("ranks", "differ") };
        let reason = format!("{noun} {} {verb} from rank 0", ranks.join(", "));
        Err(error(self.rank(), self.world(), &format!("comparing the {what}"), &reason))
    }
}

/// Returns one entry for each rank, of which only that of this rank is not 0: their sum has those of all.
fn own_entry(number: u32, rank: usize, world: usize) -> Vec<f64> {
    let mut entries = vec![0.0; world];
    entries[rank] = f64::from(number);
    entries
}

fn error(rank: usize, world: usize, doing: &str, reason: &str) -> Error {
    Error::Ranks { rank, world, doing: doing.to_owned(), reason: reason.to_owned() }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner).leave();
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("rank", &self.rank())
            .field("world", &self.world())
            .field("backend", &self.backend())
            .finish_non_exhaustive()
    }
}
