//! The micro-batches of the step under way.

use crate::error::{Error, Result};
use crate::freezing::params::ParamSet;
use crate::optim::GradStats;
use crate::parameters::ParamId;

/// The micro-batches of the step under way.
#[derive(Debug, Default)]
pub(super) struct MicroBatches {
    /// The number of micro-batches so far.
    count: u64,
    /// Their share of the step's loss.
    share: f64,
    /// The share of the small batch, and the sums of its gradients, by parameter.
    small: Option<(f64, GradStats)>,
    /// Whether the small batch is that of a rank, instead of the first micro-batch.
    over_ranks: bool,
    /// Whether any step so far had a small and a large batch.
    seen: bool,
}

impl MicroBatches {
    /// Creates the counter of a run of the same kind that has, or has not, seen two batches in one step.
    pub(super) fn restored(&self, seen: bool) -> Self {
        Self { seen, over_ranks: self.over_ranks, ..Self::default() }
    }

    /// Sets whether the small batch is that of a rank.
    #[cfg(feature = "distributed")]
    pub(super) fn set_over_ranks(&mut self, over_ranks: bool) {
        self.over_ranks = over_ranks;
    }

    /// Returns whether the small batch is that of a rank.
    pub(super) fn is_over_ranks(&self) -> bool {
        self.over_ranks
    }

    /// Returns whether the next micro-batch, of this share, is the small batch.
    pub(super) fn is_small_batch(&self, share: f64) -> bool {
        !self.over_ranks && self.count == 0 && share < 1.0
    }

    /// Sums the gradients of the first micro-batch.
    pub(super) fn measure_first(
        &mut self,
        share: f64,
        measured: &[ParamId],
        params: &ParamSet,
    ) -> Result<()> {
        let mut sums = GradStats::new(params.all().len());
        sums.add_gradients(params.all(), measured, true)?;
        sums.send()?;
        self.small = Some((share, sums));
        Ok(())
    }

    /// Measures this rank's gradients. Returns numbers to sum over ranks: 1, 1 ÷ share, and Σg² ÷ share² by parameter; zeros
    /// for a rank without a batch.
    pub(super) fn rank_sums(&self, measured: &[ParamId], params: &ParamSet) -> Result<Vec<f64>> {
        if self.share <= 0.0 {
            return Ok(vec![0.0; measured.len() + 2]);
        }
        let mut sums = GradStats::new(params.all().len());
        sums.add_gradients(params.all(), measured, true)?;
        sums.read()?;
        let squares = |id: &ParamId| sums.gradient(*id).map_or(0.0, |sums| sums.squares);
        let squares = measured.iter().map(|id| squares(id) / (self.share * self.share));
        Ok([1.0, self.share.recip()].into_iter().chain(squares).collect())
    }

    /// Sets the small batch from the sums over all ranks: the mean of Σg² ÷ share², at the harmonic mean of the shares, with
    /// which the estimate from a small and a large batch is unbiased.
    pub(super) fn set_rank_sums(&mut self, sums: &[f64], measured: &[ParamId], params: &ParamSet) {
        let [ranks, inverse_shares, squares @ ..] = sums else { return };
        if *ranks < 2.0 {
            return;
        }
        let share = ranks / inverse_shares;
        let small = squares.iter().map(|squares| squares / ranks * share * share);
        let small = GradStats::from_squares(params.all().len(), measured.iter().copied().zip(small));
        self.small = Some((share, small));
        self.seen = true;
    }

    /// Counts a micro-batch of this share.
    pub(super) fn count(&mut self, share: f64) {
        self.count += 1;
        self.share += share;
        self.seen |= !self.over_ranks && self.count >= 2;
    }

    /// Takes the small batch, if there was a larger one.
    pub(super) fn take_small(&mut self) -> Option<(f64, GradStats)> {
        if self.over_ranks || self.count >= 2 { self.small.take() } else { None }
    }

    /// Returns whether any step so far had two batches to compare.
    pub(super) fn seen(&self) -> bool {
        self.seen
    }

    /// Refuses a run that never has two batches to compare.
    pub(super) fn check(&self) -> Result<()> {
        if self.seen {
            return Ok(());
        }
        Err(Error::Unsupported {
            what: "a policy that compares two batches (statistics two-batch-signal, two-batch-noise)"
                .to_owned(),
            reason: "the step's gradient came from one backward pass; accumulate at least two per step with \
                     FreezingOptimizer::backward_accumulate"
                .to_owned(),
        })
    }

    /// Begins a new step.
    pub(super) fn reset(&mut self) {
        self.count = 0;
        self.share = 0.0;
        self.small = None;
    }
}
