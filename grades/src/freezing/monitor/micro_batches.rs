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
    /// The first one's share of the step's loss, and the sums of its gradients, by parameter.
    first: Option<(f64, GradStats)>,
    /// Whether any step so far had two.
    seen: bool,
}

impl MicroBatches {
    /// Creates the counter of a run that has, or has not, seen two micro-batches in one step.
    pub(super) fn new(seen: bool) -> Self {
        Self { seen, ..Self::default() }
    }

    /// Returns whether the next micro-batch is the first of the step.
    pub(super) fn is_first(&self) -> bool {
        self.count == 0
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
        self.first = Some((share, sums));
        Ok(())
    }

    /// Counts a micro-batch.
    pub(super) fn count(&mut self) {
        self.count += 1;
        self.seen |= self.count >= 2;
    }

    /// Takes the sums of the first micro-batch, if there was a second one.
    pub(super) fn take_first(&mut self) -> Option<(f64, GradStats)> {
        if self.count >= 2 { self.first.take() } else { None }
    }

    /// Returns whether any step so far had two micro-batches.
    pub(super) fn seen(&self) -> bool {
        self.seen
    }

    /// Refuses a run that never has two micro-batches to compare.
    pub(super) fn check(&self) -> Result<()> {
        if self.seen {
            return Ok(());
        }
        Err(Error::Unsupported {
            what: "a policy that compares two batches (statistics two-batch-signal, two-batch-noise)"
                .to_owned(),
            reason: "the step's gradient came from one backward pass; accumulate at least two per step with \
                     FreezingOptimizer::backward_accumulate (training.gradient_accumulation_steps = 2 in finetune)"
                .to_owned(),
        })
    }

    /// Begins a new step.
    pub(super) fn reset(&mut self) {
        self.count = 0;
        self.first = None;
    }
}
