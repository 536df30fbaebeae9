//! The statistics of one component at one check.

use super::{Statistic, StatisticSet};

/// The statistics of one component at one check: those that were measured, each a finite number or not.
///
/// ```
/// use grades::statistic::{ComponentSample, Statistic};
///
/// let sample = ComponentSample::from_gradient(&[3.0, -4.0]);
/// assert_eq!(sample.get(Statistic::GradL1), Some(7.0));
/// assert_eq!(sample.get(Statistic::GradL2), Some(5.0));
/// assert!(sample.is_finite());
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ComponentSample {
    elements: u64,
    values: [f64; Statistic::ALL.len()],
    present: StatisticSet,
}

impl ComponentSample {
    /// Creates a sample without statistics, of a component with this number of elements.
    pub fn new(elements: u64) -> Self {
        Self { elements, values: [0.0; Statistic::ALL.len()], present: StatisticSet::default() }
    }

    /// Creates the four gradient statistics from Σ|g| and Σg².
    pub fn from_sums(elements: u64, l1: f64, squares: f64) -> Self {
        // A component without elements has no mean; it counts as having no gradient.
        let n = elements.max(1) as f64;
        Self::new(elements)
            .with(Statistic::GradL1, l1)
            .with(Statistic::GradMeanAbs, l1 / n)
            .with(Statistic::GradL2, squares.sqrt())
            .with(Statistic::GradRms, (squares / n).sqrt())
    }

    /// Computes the four gradient statistics of a gradient given as numbers.
    pub fn from_gradient(gradient: &[f64]) -> Self {
        let l1 = gradient.iter().map(|g| g.abs()).sum();
        let squares = gradient.iter().map(|g| g * g).sum();
        Self::from_sums(gradient.len() as u64, l1, squares)
    }

    /// Sets a statistic.
    #[must_use]
    pub fn with(mut self, statistic: Statistic, value: f64) -> Self {
        self.values[statistic.index()] = value;
        self.present = self.present.union(StatisticSet::of([statistic]));
        self
    }

    /// Returns the number of elements of the component.
    pub fn elements(&self) -> u64 {
        self.elements
    }

    /// Returns the value of a statistic; `None` when it was not measured.
    pub fn get(&self, statistic: Statistic) -> Option<f64> {
        self.present.contains(statistic).then(|| self.values[statistic.index()])
    }

    /// Returns the statistics that were measured.
    pub fn statistics(&self) -> StatisticSet {
        self.present
    }

    /// Returns whether all that was measured is finite.
    pub fn is_finite(&self) -> bool {
        self.present.iter().all(|statistic| self.values[statistic.index()].is_finite())
    }
}
