//! From an epoch's order to the batches of each optimizer step.

use crate::data::Sampler;

/// The batches of the optimizer steps of a run, in order: a step's batches are accumulated.
#[derive(Debug)]
pub(super) struct Batches<'a> {
    sampler: &'a Sampler,
    accumulate: usize,
    epochs: u64,
}

impl<'a> Batches<'a> {
    pub(super) fn new(sampler: &'a Sampler, accumulate: usize, epochs: u64) -> Self {
        Self { sampler, accumulate, epochs }
    }

    /// The optimizer steps of the whole run.
    pub(super) fn steps(&self) -> u64 {
        self.epochs.saturating_mul(self.epoch())
    }

    /// The optimizer steps of an epoch.
    pub(super) fn epoch(&self) -> u64 {
        self.sampler.batches().div_ceil(self.accumulate) as u64
    }

    /// Each step's epoch, counted from 1, and its batches of example numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Vec<Vec<usize>>)> + '_ {
        (0..self.epochs).flat_map(|epoch| {
            let order = self.sampler.epoch_order(epoch);
            let steps: Vec<_> =
                order.chunks(self.accumulate).map(|step| (epoch + 1, step.to_vec())).collect();
            steps
        })
    }
}
