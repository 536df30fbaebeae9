//! The numbers of a dry run: lengths, components, FLOPs and memory.

use std::collections::BTreeMap;

use anyhow::Result;
use grades::component::{Component, ComponentKind};
use grades::torch::byte_len;
use tch::Device;

use crate::cache::ActivationCache;
use crate::config::{CacheMode, RunConfig};
use crate::run::{available_memory, peak_memory};
use crate::train::setup::Setup;
use crate::train::step_loader::{StepBatch, StepLoader};

/// The most steps whose FLOPs are counted.
const COUNTED: usize = 32;
/// The most lines of a histogram.
const BINS: usize = 10;

/// The lengths of the training rows.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Lengths {
    /// The number of rows.
    pub(super) rows: usize,
    /// Their mean.
    pub(super) mean: f64,
    /// The shortest and longest length of each line of the histogram, and the rows between.
    pub(super) bins: Vec<(usize, usize, usize)>,
}

impl Lengths {
    /// Counts lengths in a few ranges of equal width.
    pub(super) fn of(lengths: &[usize]) -> Self {
        let (Some(&low), Some(&high)) = (lengths.iter().min(), lengths.iter().max()) else {
            return Self::default();
        };
        let width = (high - low + 1).div_ceil(BINS).max(1);
        let mut counts: BTreeMap<usize, usize> = (0..=(high - low) / width).map(|bin| (bin, 0)).collect();
        for length in lengths {
            *counts.entry((length - low) / width).or_default() += 1;
        }
        let bins = counts.into_iter().map(|(bin, count)| {
            let from = low + bin * width;
            (from, (from + width - 1).min(high), count)
        });
        let mean = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
        Self { rows: lengths.len(), mean, bins: bins.collect() }
    }
}

/// Counts the components of each kind, and their parameters.
pub(super) fn components(components: &[Component]) -> Vec<(&'static str, usize, u64)> {
    let of = |kind: &ComponentKind| {
        let alike = || components.iter().filter(|component| component.kind == *kind);
        (kind.name(), alike().count(), alike().map(|component| component.elements).sum())
    };
    ComponentKind::ALL.iter().map(of).filter(|(_, count, _)| *count > 0).collect()
}

/// Estimates the FLOPs of the steps to come from some of them; returns how many those were.
pub(super) fn step_flops(setup: &Setup, steps: StepLoader, left: u64) -> Result<(f64, usize)> {
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    let apart = left.div_ceil(COUNTED).max(1);
    // The epochs are alike.
    let epoch = usize::try_from(setup.loader.steps_per_epoch()).unwrap_or(usize::MAX).max(1);
    let apart = if left > epoch { epoch.div_ceil(COUNTED).max(1) } else { apart };
    let products = setup.task.matmuls();
    let (mut flops, mut counted) = (0u128, 0);
    for step in steps.take(epoch).step_by(apart) {
        let batches = step.load(setup.task.as_ref(), &mut ActivationCache::off())?;
        flops += batches.iter().map(|batch| products.total(batch.shape)).sum::<u128>();
        counted += 1;
    }
    Ok((flops as f64 / counted.max(1) as f64 * left as f64, counted))
}

/// Chooses two steps of the next epoch: that with the longest batch, and one of the usual size. `None` without a step.
pub(super) fn steps_to_measure(lengths: &[usize], steps: StepLoader) -> Option<[StepBatch; 2]> {
    let tokens = |step: &StepBatch| -> usize {
        let of_batch = |batch: &Vec<usize>| {
            let longest = batch.iter().filter_map(|index| lengths.get(*index)).max().copied().unwrap_or(0);
            longest * batch.len()
        };
        step.batches.iter().map(of_batch).max().unwrap_or(0)
    };
    let epoch = usize::try_from(steps.steps_per_epoch()).unwrap_or(usize::MAX);
    let mut sorted: Vec<StepBatch> = steps.take(epoch).collect();
    sorted.sort_by_cached_key(tokens);
    let usual = sorted.get(sorted.len() / 2)?.clone();
    Some([sorted.pop()?, usual])
}

/// The memory of a run, in bytes.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// By kind.
    pub(super) kinds: Vec<(&'static str, u64)>,
    /// The memory that is free; `None` where the system does not say.
    pub(super) available: Option<u64>,
    /// The memory that the program itself has, without the run.
    pub(super) program: Option<u64>,
}

impl Memory {
    /// Reads the memory of a run after its first steps; `resident` is that of the process before loading and before the steps.
    pub(super) fn measured(
        config: &RunConfig,
        setup: &Setup,
        (program, resident): (Option<u64>, Option<u64>),
    ) -> Self {
        let memory = setup.optimizer.memory();
        let weights: u64 = setup.task.store().variables().values().map(byte_len).sum();
        let moments = memory.optimizer_state.unwrap_or(0);
        let others = memory.statistics + memory.averages + memory.master_weights;
        // Gradients and moments are made in the first step; the rest of what it added at most is that of activations.
        let made = memory.gradients + moments + others;
        let on_host = setup.task.store().device() == Device::Cpu;
        let peak = peak_memory().zip(resident).filter(|_| on_host);
        let activations = peak.map(|(peak, before)| peak.saturating_sub(before).saturating_sub(made));
        let kinds = [
            ("weights", Some(weights)),
            ("gradients", Some(memory.gradients)),
            ("moments", Some(moments)),
            ("statistics, means, master weights", Some(others).filter(|bytes| *bytes > 0)),
            ("activations of the longest batch", activations),
            ("cache of frozen blocks, at most", cache(config, setup)),
        ];
        Self {
            kinds: kinds.into_iter().filter_map(|(name, bytes)| Some((name, bytes?))).collect(),
            available: available_memory().filter(|_| on_host),
            program: program.filter(|_| on_host),
        }
    }

    /// Returns the sum of all kinds.
    pub(super) fn total(&self) -> u64 {
        self.kinds.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// Returns the most bytes of main memory that the activation cache may take; `None` where there is none.
fn cache(config: &RunConfig, setup: &Setup) -> Option<u64> {
    if config.cache.mode == CacheMode::Never {
        return None;
    }
    let model = setup.task.model();
    let layout = setup.task.cache_layout(setup.evaluator.repeats());
    let tokens: usize = [layout.training, layout.evaluation, layout.choices].iter().flatten().sum();
    let width = u64::try_from(model.hidden_size()).unwrap_or(0);
    let size = config.cache.dtype.kind(model.dtype()).elt_size_in_bytes() as u64;
    Some((tokens as u64 * width * size).min(config.cache.memory_mib << 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Sampler, SamplerOptions};

    #[test]
    fn lengths_are_counted_in_few_ranges() {
        assert_eq!(Lengths::of(&[]), Lengths::default());
        assert_eq!(Lengths::of(&[7, 7]), Lengths { rows: 2, mean: 7.0, bins: vec![(7, 7, 2)] });
        let lengths: Vec<usize> = (5..=64).collect();
        let found = Lengths::of(&lengths);
        assert_eq!((found.bins.len(), found.bins[0], found.bins[9]), (10, (5, 10, 6), (59, 64, 6)));
        assert_eq!(found.bins.iter().map(|bin| bin.2).sum::<usize>(), 60);
        assert_eq!(
            Lengths::of(&[1, 12]).bins,
            [(1, 2, 1), (3, 4, 0), (5, 6, 0), (7, 8, 0), (9, 10, 0), (11, 12, 1)]
        );
    }

    #[test]
    fn the_longest_step_comes_first() {
        let lengths = vec![3, 9, 4, 5, 6, 30];
        let options = SamplerOptions { batch_size: 1, seed: 1, bucket: 1 };
        let sampler = Sampler::from_lengths(lengths.clone(), options).unwrap();
        let [longest, usual] = steps_to_measure(&lengths, StepLoader::new(sampler.clone(), 1, 3)).unwrap();
        assert_eq!((longest.batches, usual.batches), (vec![vec![5]], vec![vec![4]]));
        assert!(steps_to_measure(&lengths, StepLoader::new(sampler, 1, 0)).is_none());
    }
}
