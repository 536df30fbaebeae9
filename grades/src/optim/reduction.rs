//! The sum of gradients over several processes, between the backward pass and the update.

#![cfg_attr(
    not(feature = "distributed"),
    allow(dead_code, unreachable_pub, reason = "its one implementation is in the feature `distributed`")
)]

use std::fmt::Debug;
use std::time::Duration;

use tch::Tensor;

use crate::error::Result;
use crate::parameters::ParamId;

/// A parameter whose gradient is summed.
#[derive(Debug)]
pub(crate) struct Listed<'a> {
    pub(crate) name: &'a str,
    pub(crate) tensor: &'a Tensor,
    /// The rank that updates it; `None` where all do.
    pub(crate) owner: Option<usize>,
}

/// The rank that updates each parameter, and has its optimizer state, where these are divided over the ranks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owners {
    /// The number of this rank.
    pub(crate) rank: usize,
    /// The owner of each parameter, by its position.
    pub(crate) of: Vec<usize>,
}

impl Owners {
    /// Returns the owner of a parameter.
    pub(crate) fn of(&self, id: ParamId) -> usize {
        self.of.get(id.index()).copied().unwrap_or(0)
    }

    /// Returns whether this rank owns a parameter.
    pub(crate) fn owns(&self, id: ParamId) -> bool {
        self.of(id) == self.rank
    }
}

/// The gradients that one step sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// The bytes of this rank's gradients; each rank sends and receives about 2·(W − 1) ÷ W times as many.
    pub bytes: u64,
    /// The number of messages that they were sent in.
    pub buckets: u64,
    /// The number of messages that were sent during the backward pass.
    pub early: u64,
    /// The bytes of weights that their owners sent to all ranks after the update; 0 unless the optimizer is sharded.
    pub weights: u64,
    /// The time that was waited for the sums after the backward pass.
    pub waited: Duration,
}

/// Sums the gradients of a step over several processes, which must agree on everything that decides about them.
pub(crate) trait Reduction: Debug + Send {
    /// Sets the parameters that train, in the order in which the backward pass computes their gradients.
    fn set_list(&mut self, list: &[Listed<'_>]) -> Result<()>;

    /// Begins to compare a hash of the wrapper's state, and of the list, with the other processes.
    fn propose(&mut self, state: u32) -> Result<()>;

    /// Waits for the comparison, if one is under way; a difference is an error.
    fn verify(&mut self) -> Result<()>;

    /// Declares that gradients are final from here on, so that they are sent as they come.
    fn begin(&mut self) -> Result<()>;

    /// Waits until every gradient is the sum over all processes, and sums further numbers.
    fn finish(&mut self, extra: &mut [f64]) -> Result<()>;

    /// Forgets the sums: the gradients of the next step begin.
    fn reset(&mut self) -> Result<()>;

    /// Has each owner send its weights to all processes.
    fn share(&mut self, weights: &[Listed<'_>]) -> Result<()>;

    /// Sums numbers over all processes.
    fn sum_numbers(&self, values: &mut [f64]) -> Result<()>;

    /// Returns the numbers of every process, in their order.
    fn gather(&self, values: &[f64]) -> Result<Vec<Vec<f64>>>;

    /// Sends tensors on the CPU to one other process.
    fn send(&self, tensors: &[&Tensor], to: usize) -> Result<()>;

    /// Receives contiguous tensors on the CPU from one other process.
    fn receive(&self, tensors: &[&Tensor], from: usize) -> Result<()>;

    /// Returns the bytes that it uses beside the gradients.
    fn memory(&self) -> u64;

    /// Checks that all processes have the same bytes.
    fn compare(&self, what: &str, bytes: &[u8]) -> Result<()>;

    /// Returns the traffic of the last step.
    fn traffic(&self) -> Traffic;
}
