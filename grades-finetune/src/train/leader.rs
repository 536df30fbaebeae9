//! Rank 0's side of a run: what it says to the other ranks, where there are any.

use anyhow::Result;
use tch::Device;

use super::ranks::{Order, RunRanks};
use crate::run::Interrupt;

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

    /// Says what comes next.
    pub(super) fn order(&self, order: Order, interrupt: &Interrupt) -> Result<()> {
        self.0.as_ref().map_or(Ok(()), |ranks| ranks.order(order, interrupt))
    }

    /// Says that a checkpoint is written; returns the states of the other ranks' random number generators, by their names in it.
    pub(super) fn begin_checkpoint(&self, device: Device) -> Result<Vec<(String, Vec<u8>)>> {
        self.order(Order::Checkpoint, &Interrupt::never())?;
        self.0.as_ref().map_or(Ok(Vec::new()), |ranks| ranks.gather_generators(device))
    }
}
