//! The ranges of hyperparameters.

use crate::error::{Problems, Result};

/// Collects what is wrong with some hyperparameters.
#[derive(Default)]
pub(super) struct Ranges {
    problems: Problems,
}

impl Ranges {
    /// Finite and at least 0: learning rates, decays, ε.
    pub(super) fn not_negative(mut self, key: &str, value: f64) -> Self {
        if !(value.is_finite() && value >= 0.0) {
            self.problems.push(key, format!("{value} is not a finite number of at least 0"));
        }
        self
    }

    /// At least 0 and below 1: Adam's β.
    pub(super) fn below_one(mut self, key: &str, value: f64) -> Self {
        if !(0.0..1.0).contains(&value) {
            self.problems.push(key, format!("{value} is not at least 0 and below 1"));
        }
        self
    }

    /// A rule between several of them.
    pub(super) fn rule(mut self, key: &str, kept: bool, message: impl FnOnce() -> String) -> Self {
        if !kept {
            self.problems.push(key, message());
        }
        self
    }

    pub(super) fn check(self) -> Result<()> {
        self.problems.into_result(())
    }
}
