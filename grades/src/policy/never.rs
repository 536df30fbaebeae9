//! A policy that freezes nothing.

use super::{Decision, FreezePolicy, Observation};
use crate::statistic::StatisticSet;

/// Freezes nothing and reads no statistics.
///
/// A baseline run that takes the same path as a run with freezing:
///
/// ```
/// use grades::FreezingConfig;
/// use grades::policy::Never;
///
/// let config = FreezingConfig::new(Never);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Never;

impl FreezePolicy for Never {
    fn name(&self) -> &'static str {
        "never"
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::default()
    }

    fn decide(&mut self, _: &Observation<'_>) -> Decision {
        Decision::Keep
    }
}
