//! The ranges of hyperparameters.

use crate::error::{Error, Problems, Result};

/// The values that a hyperparameter may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    expected: &'static str,
    contains: fn(f64) -> bool,
}

impl Range {
    /// Learning rates, weight decays, ε, SGD's momentum.
    pub(super) const NOT_NEGATIVE: Range = Range {
        expected: "a finite number of at least 0",
        contains: |value| value.is_finite() && value >= 0.0,
    };

    /// Adam's β.
    pub(super) const BELOW_ONE: Range =
        Range { expected: "at least 0 and below 1", contains: |value| (0.0..1.0).contains(&value) };

    /// The momentum that Nesterov's form needs.
    pub(super) const ABOVE_ZERO: Range = Range {
        expected: "a finite number above 0, which nesterov needs",
        contains: |value| value.is_finite() && value > 0.0,
    };

    /// Any number but NaN and the infinities.
    pub(super) const FINITE: Range = Range { expected: "finite", contains: f64::is_finite };

    /// Adds a problem under `key` when the value is outside.
    pub(super) fn report(self, problems: &mut Problems, key: &str, value: f64) {
        if !(self.contains)(value) {
            problems.push(key, format!("{value} is not {}", self.expected));
        }
    }

    /// Refuses a value that is outside.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`].
    pub(super) fn check(self, argument: &'static str, value: f64) -> Result<()> {
        if (self.contains)(value) {
            return Ok(());
        }
        Err(Error::invalid_argument(argument, self.expected, value))
    }
}
