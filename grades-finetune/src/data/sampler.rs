//! Orders examples into batches.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::dataset::Dataset;
use super::error::{Error, Result};

/// How batches are formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SamplerOptions {
    /// Examples in a batch; the last batch may have fewer.
    pub batch_size: usize,
    /// Seed of the shuffling.
    pub seed: u64,
    /// How many batches' worth of shuffled examples are sorted by length together; 1 does not sort.
    ///
    /// Larger buckets save padding, smaller ones mix the lengths better.
    pub bucket: usize,
}

impl Default for SamplerOptions {
    fn default() -> Self {
        Self { batch_size: 32, seed: 0, bucket: 50 }
    }
}

/// The batches of a dataset, epoch by epoch, as lists of indices.
#[derive(Debug, Clone)]
pub struct Sampler {
    lengths: Vec<usize>,
    options: SamplerOptions,
}

impl Sampler {
    /// Creates a sampler over all examples of `dataset`.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for a batch or bucket size of 0.
    pub fn new(dataset: &Dataset, options: SamplerOptions) -> Result<Self> {
        Self::from_lengths(dataset.lengths(), options)
    }

    /// Creates a sampler over examples with these numbers of tokens.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for a batch or bucket size of 0.
    pub fn from_lengths(lengths: Vec<usize>, options: SamplerOptions) -> Result<Self> {
        if options.batch_size == 0 || options.bucket == 0 {
            return Err(Error::Input(format!(
                "batch_size = {} and bucket = {} must be at least 1",
                options.batch_size, options.bucket
            )));
        }
        Ok(Self { lengths, options })
    }

    /// Returns the number of tokens of each example.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Returns the number of batches in an epoch.
    pub fn batches(&self) -> usize {
        self.lengths.len().div_ceil(self.options.batch_size)
    }

    /// Returns the batches of one epoch, every example in exactly one.
    ///
    /// A function of the lengths, the options and `epoch` alone, so that a run continues in the middle of
    /// an epoch by skipping the batches it has seen. The numbers come from ChaCha8 with the seed as its key
    /// and the epoch as its stream: the examples are shuffled, sorted by length within each bucket,
    /// cut into batches, and the batches shuffled.
    pub fn epoch_order(&self, epoch: u64) -> Vec<Vec<usize>> {
        let SamplerOptions { batch_size, seed, bucket } = self.options;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(epoch);
        let mut order: Vec<usize> = (0..self.lengths.len()).collect();
        shuffle(&mut order, &mut rng);
        if bucket > 1 {
            for bucket in order.chunks_mut(batch_size.saturating_mul(bucket)) {
                // Stable, so that examples of one length stay shuffled.
                bucket.sort_by_key(|&index| self.lengths[index]);
            }
        }
        let mut batches: Vec<Vec<usize>> = order.chunks(batch_size).map(<[usize]>::to_vec).collect();
        shuffle(&mut batches, &mut rng);
        batches
    }

    /// Returns the batches for evaluation: every example exactly once, the longest first, the same every time.
    ///
    /// `batch_size` may differ from the one for training; 0 counts as 1.
    pub fn evaluation_order(&self, batch_size: usize) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..self.lengths.len()).collect();
        // Longest first: if the memory does not suffice, the first batch shows it.
        order.sort_by_key(|&index| std::cmp::Reverse(self.lengths[index]));
        order.chunks(batch_size.max(1)).map(<[usize]>::to_vec).collect()
    }
}

/// Shuffles as Fisher and Yates do; written out because the shuffles of `rand` change between its versions.
fn shuffle<T>(items: &mut [T], rng: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(last + 1, rng));
    }
}

/// Draws a number below `bound`, each equally likely.
fn below(bound: usize, rng: &mut ChaCha8Rng) -> usize {
    // usize has at most 64 bits on every target of libtorch, and the results are below `bound`.
    let bound = bound as u64;
    // The largest multiple of `bound` that fits; numbers from it on would favour small results.
    let limit = u64::MAX - u64::MAX % bound;
    loop {
        let number = rng.next_u64();
        if number < limit {
            return (number % bound) as usize;
        }
    }
}
