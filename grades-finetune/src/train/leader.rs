//! Rank 0's side of a run: what it says to the other ranks, where there are any.

use anyhow::Result;
use tch::Device;

use super::ranks::{Order, RunRanks};
use crate::run::Interrupt;
use crate::tasks::{Ranks, Share, Task};

/// The processes that this one leads; none in a run of one process.
#[derive(Debug)]
pub(super) struct Leader(Option<RunRanks>);

impl Leader {
    pub(super) fn new(ranks: Option<RunRanks>) -> Self {
        Self(ranks)
    }

    /// Returns all processes of the run, where there are several.
    pub(super) fn ranks(&self) -> Option<&RunRanks> {
        self.0.as_ref()
    }

    /// Returns whether a step under way may be given up: several ranks end after a step, which all of them have begun.
    pub(super) fn may_stop_within_a_step(&self) -> bool {
        self.0.is_none()
    }

    /// Returns whether the batch of this index within a step is this process's.
    pub(super) fn owns(&self, index: usize) -> bool {
        self.0.as_ref().is_none_or(|ranks| ranks.owns(index))
    }

    /// Says what comes next.
    pub(super) fn order(&self, order: Order, interrupt: &Interrupt) -> Result<()> {
        self.0.as_ref().map_or(Ok(()), |ranks| ranks.order(order, interrupt))
    }

    /// Returns the share of an evaluation that this process makes; `stop` is asked before each batch.
    pub(super) fn share<'a>(&'a self, stop: &'a dyn Fn() -> bool) -> Share<'a> {
        Share::new(self.0.as_ref().map(|ranks| ranks as &dyn Ranks), stop)
    }

    /// Gives all ranks the variables of this one.
    pub(super) fn broadcast(&self, task: &dyn Task) -> Result<()> {
        self.0.as_ref().map_or(Ok(()), |ranks| ranks.broadcast(task))
    }

    /// Returns the states of the other ranks' random number generators, by their names in a checkpoint.
    pub(super) fn gather_generators(&self, device: Device) -> Result<Vec<(String, Vec<u8>)>> {
        self.0.as_ref().map_or(Ok(Vec::new()), |ranks| ranks.gather_generators(device))
    }
}
