//! Scores: numbers by which components are compared.

use super::Measure;

/// The number by which a component is compared with others at a check.
///
/// ```
/// use grades::policy::Score;
/// use grades::statistic::Statistic;
///
/// let score = Score::new(Statistic::Progress, 2e-5).with_error(1e-5);
/// assert_eq!((score.value, score.error), (2e-5, 1e-5));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Score {
    /// The quantity. Scores of different quantities are not summed up.
    pub measure: Measure,
    /// Its value.
    pub value: f64,
    /// The standard error of the value; 0 where it has none.
    pub error: f64,
}

impl Score {
    /// Creates a score without an error.
    pub fn new(measure: impl Into<Measure>, value: f64) -> Self {
        Self { measure: measure.into(), value, error: 0.0 }
    }

    /// Sets the standard error.
    #[must_use]
    pub fn with_error(mut self, error: f64) -> Self {
        self.error = error;
        self
    }

    /// Returns whether value and error are finite.
    pub fn is_finite(&self) -> bool {
        self.value.is_finite() && self.error.is_finite()
    }
}
