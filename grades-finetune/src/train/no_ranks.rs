//! Stands in for `ranks.rs` where runs of several processes are not supported: its type has no value.

use std::path::{Path, PathBuf};

use anyhow::Result;
use tch::Device;

use crate::config::RunConfig;
use crate::run::Interrupt;
use crate::tasks::{Optimizer, Ranks, Split, Task};

/// The processes of a run: none here.
#[derive(Debug, Clone)]
pub(crate) enum RunRanks {}

/// The next action of all ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Begin,
    Step,
    Checkpoint,
    Flush,
    Average,
    Best,
    Evaluate(Split),
    End(u8),
}

impl RunRanks {
    pub(crate) fn leads(&self) -> bool {
        match *self {}
    }

    pub(super) fn attach(&self, _: Optimizer, _: &dyn Task, _: &RunConfig) -> Result<Optimizer> {
        match *self {}
    }

    pub(super) fn compare_inputs(&self, _: impl Iterator<Item = String>) -> Result<()> {
        match *self {}
    }

    pub(super) fn seed(&self, _: &RunConfig, _: u64) {
        match *self {}
    }

    pub(super) fn share_checkpoint(&self, _: Option<&Path>) -> Result<Option<PathBuf>> {
        match *self {}
    }

    pub(super) fn compare(&self, _: &Optimizer) -> Result<()> {
        match *self {}
    }

    pub(super) fn broadcast(&self, _: &dyn Task) -> Result<()> {
        match *self {}
    }

    pub(crate) fn dismiss(&self) -> Result<()> {
        match *self {}
    }

    pub(super) fn order(&self, _: Order, _: &Interrupt) -> Result<()> {
        match *self {}
    }

    pub(super) fn receive(&self, _: &Interrupt) -> Result<Order> {
        match *self {}
    }

    pub(super) fn gather_generators(&self, _: Device) -> Result<Vec<(String, Vec<u8>)>> {
        match *self {}
    }

    pub(super) fn generator_name(&self, _: &str) -> String {
        match *self {}
    }
}

impl Ranks for RunRanks {
    fn rank(&self) -> usize {
        match *self {}
    }

    fn world(&self) -> usize {
        match *self {}
    }

    fn sum(&self, _: &mut [f64]) -> Result<()> {
        match *self {}
    }
}
