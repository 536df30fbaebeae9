//! Loads the batches of each optimizer step.

use anyhow::Result;

use crate::cache::ActivationCache;
use crate::data::Sampler;
use crate::tasks::{Batch, Task};

/// The batches of one optimizer step, whose gradients are accumulated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StepBatch {
    /// The pass over the data that the step belongs to, counted from 1.
    pub(crate) epoch: u64,
    /// The indices of the examples of each batch.
    pub(crate) batches: Vec<Vec<usize>>,
}

impl StepBatch {
    /// Makes the batches of their examples, with the tensors of those that this process owns by their index.
    pub(crate) fn load(
        &self,
        task: &dyn Task,
        cache: &mut ActivationCache,
        owns: impl Fn(usize) -> bool,
    ) -> Result<Vec<Batch>> {
        let one = |(index, indices): (usize, &Vec<usize>)| match owns(index) {
            true => task.batch(indices, cache),
            false => Ok(Batch::elsewhere(task.batch_size(indices))),
        };
        self.batches.iter().enumerate().map(one).collect()
    }
}

/// Iterates over the optimizer steps of a run.
#[derive(Debug, Clone)]
pub(crate) struct StepLoader {
    sampler: Sampler,
    /// Batches in a step.
    accumulation: usize,
    /// The steps of the whole run.
    steps: u64,
    /// The steps so far.
    done: u64,
    /// The order of an epoch, counted from 0.
    order: Option<(u64, Vec<Vec<usize>>)>,
}

impl StepLoader {
    /// Makes a loader for `epochs` passes over the data.
    pub(crate) fn new(sampler: Sampler, accumulation: usize, epochs: u64) -> Self {
        let mut loader = Self { sampler, accumulation, steps: 0, done: 0, order: None };
        loader.steps = epochs.saturating_mul(loader.steps_per_epoch());
        loader
    }

    /// Ends after this many steps, if the data lasts for more.
    #[must_use]
    pub(crate) fn with_limit(mut self, steps: u64) -> Self {
        self.steps = self.steps.min(steps);
        self
    }

    /// Goes to the step after the first `done`.
    pub(crate) fn seek(&mut self, done: u64) {
        self.done = done;
    }

    /// Returns the optimizer steps of the whole run.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// Returns whether a further epoch begins after the one of the next step: rows are seen again.
    pub(crate) fn begins_another_epoch(&self) -> bool {
        let epoch = self.steps_per_epoch().max(1);
        self.steps.saturating_sub(1) / epoch > self.done / epoch
    }

    /// Returns the optimizer steps of an epoch.
    pub(crate) fn steps_per_epoch(&self) -> u64 {
        self.sampler.batches().div_ceil(self.accumulation) as u64
    }
}

impl Iterator for StepLoader {
    type Item = StepBatch;

    fn next(&mut self) -> Option<StepBatch> {
        if self.done >= self.steps {
            return None;
        }
        let steps = self.steps_per_epoch().max(1);
        let epoch = self.done / steps;
        // Smaller than the steps of an epoch, which a usize can count.
        let within = (self.done % steps) as usize;
        self.done += 1;
        if self.order.as_ref().is_none_or(|(known, _)| *known != epoch) {
            self.order = Some((epoch, self.sampler.epoch_order(epoch)));
        }
        let (_, order) = self.order.as_ref()?;
        let batches = order.chunks(self.accumulation).nth(within)?.to_vec();
        Some(StepBatch { epoch: epoch + 1, batches })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::SamplerOptions;

    fn loader() -> StepLoader {
        let options = SamplerOptions { batch_size: 2, seed: 3, bucket: 1 };
        let sampler = Sampler::from_lengths(vec![1; 13], options).unwrap();
        StepLoader::new(sampler, 3, 4)
    }

    #[test]
    fn a_run_goes_on_anywhere() {
        let all: Vec<_> = loader().collect();
        assert_eq!(all.len() as u64, loader().steps());
        for done in 0..=all.len() {
            let mut rest = loader();
            rest.seek(done as u64);
            assert_eq!(rest.collect::<Vec<_>>(), all[done..], "{done} steps");
        }
        let mut beyond = loader();
        beyond.seek(1 << 40);
        assert_eq!(beyond.count(), 0);
        assert_eq!(loader().with_limit(2).collect::<Vec<_>>(), all[..2]);
    }
}
