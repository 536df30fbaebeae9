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

    /// The steps after the first `done`: each one's epoch, counted from 1, and its batches of example numbers.
    pub(super) fn after(&self, done: u64) -> impl Iterator<Item = (u64, Vec<Vec<usize>>)> + '_ {
        let steps = (self.sampler.batches().div_ceil(self.accumulate) as u64).max(1);
        let first = done / steps;
        // Fewer than the steps of an epoch, which are counted by a usize.
        let within = (done % steps) as usize;
        (first..self.epochs).flat_map(move |epoch| {
            let order = self.sampler.epoch_order(epoch);
            let skipped = if epoch == first { within } else { 0 };
            let chunks = order.chunks(self.accumulate).skip(skipped);
            chunks.map(|step| (epoch + 1, step.to_vec())).collect::<Vec<_>>()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::SamplerOptions;

    #[test]
    fn a_run_goes_on_anywhere() {
        let options = SamplerOptions { batch_size: 2, seed: 3, bucket: 1 };
        let sampler = Sampler::from_lengths(vec![1; 13], options).unwrap();
        let batches = Batches::new(&sampler, 3, 4);
        let all: Vec<_> = batches.after(0).collect();
        assert_eq!(all.len() as u64, batches.steps());
        for done in 0..=all.len() {
            assert_eq!(batches.after(done as u64).collect::<Vec<_>>(), all[done..], "{done} steps");
        }
        assert_eq!(batches.after(1 << 40).count(), 0);
    }
}
