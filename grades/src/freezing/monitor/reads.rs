//! The statistics that the policies of a run read.

use crate::statistic::{Statistic, StatisticSet};

/// The statistics that the policies of a run read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reads(StatisticSet);

impl Reads {
    pub(super) fn new(statistics: StatisticSet) -> Self {
        Self(statistics)
    }

    /// Returns whether no policy reads any statistic.
    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether a policy reads this statistic.
    pub(super) fn has(self, statistic: Statistic) -> bool {
        self.0.contains(statistic)
    }

    /// Returns whether a statistic is followed from step to step, whichever steps are checked.
    pub(super) fn follows_every_step(self) -> bool {
        self.has(Statistic::SignalFraction) || self.has(Statistic::GradDeltaL1)
    }

    /// Returns whether a policy compares a small with a large batch.
    pub(super) fn compares_batches(self) -> bool {
        self.has(Statistic::TwoBatchSignal) || self.has(Statistic::TwoBatchNoise)
    }
}
