//! Counts the FLOPs of training steps.

use grades_models::flops::{BatchShape, Matmuls};

use super::totals::Totals;

/// Counts the FLOPs of a run's steps, and what they would have been if nothing had been frozen.
///
/// ```
/// use grades_finetune::state::{FlopMeter, Totals};
/// use grades_models::flops::{BatchShape, Matmuls, Per};
///
/// let (mut all, mut frozen) = (Matmuls::default(), Matmuls::default());
/// all.add(Per::Token, 10, true, true);
/// frozen.add(Per::Token, 10, true, false);
/// let (mut meter, mut totals) = (FlopMeter::new(all), Totals::default());
/// let batch = BatchShape::new(1, 1, 0);
/// assert_eq!(meter.add(batch, 0, &mut totals), 60);
/// meter.change(frozen);
/// assert_eq!(meter.add(batch, 0, &mut totals), 40);
/// assert_eq!(meter.add(batch, 15, &mut totals), 25);
/// assert_eq!((totals.flops, totals.cache_flops, totals.flops_without_freezing), (125, 15, 180));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlopMeter {
    all: Matmuls,
    now: Matmuls,
}

impl FlopMeter {
    /// Makes the meter of a model with these matrix matmuls, nothing being frozen.
    pub fn new(all: Matmuls) -> Self {
        Self { now: all.clone(), all }
    }

    /// Sets the matmuls from now on, after something froze, thawed or was merged.
    pub fn change(&mut self, now: Matmuls) {
        self.now = now;
    }

    /// Adds the forward and backward pass of a batch to the totals, less what the activation cache saved; returns its FLOPs.
    pub fn add(&self, batch: BatchShape, saved: u128, totals: &mut Totals) -> u128 {
        let flops = self.now.total(batch).saturating_sub(saved);
        totals.cache_flops = totals.cache_flops.saturating_add(saved);
        totals.flops = totals.flops.saturating_add(flops);
        totals.flops_without_freezing = totals.flops_without_freezing.saturating_add(self.all.total(batch));
        flops
    }
}
