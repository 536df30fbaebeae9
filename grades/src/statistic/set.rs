//! A set of statistics: those that a policy reads, or that a sample has.

use super::Statistic;

/// A set of [`Statistic`]s.
///
/// ```
/// use grades::statistic::{Statistic, StatisticSet};
///
/// let needed = StatisticSet::of([Statistic::GradL1, Statistic::GradRms]);
/// assert!(needed.contains(Statistic::GradRms));
/// assert!(!needed.contains(Statistic::GradL2));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct StatisticSet(u32);

impl StatisticSet {
    /// Creates the set of these statistics.
    pub fn of(statistics: impl IntoIterator<Item = Statistic>) -> Self {
        statistics.into_iter().fold(Self::default(), |set, statistic| Self(set.0 | 1 << statistic.index()))
    }

    /// Returns whether this statistic is in it.
    pub fn contains(self, statistic: Statistic) -> bool {
        self.0 & 1 << statistic.index() != 0
    }

    /// Returns the union of both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether it is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns its members, in the order of [`Statistic::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Statistic> {
        Statistic::ALL.into_iter().filter(move |statistic| self.contains(*statistic))
    }
}
