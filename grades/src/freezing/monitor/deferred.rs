//! The measurement of the last step, where it is read one step late.

use super::measurement::Measurement;
use crate::tracker::{Checked, FreezeEvent};

/// The measurement of the last step, where it is read one step late.
#[derive(Debug, Default)]
#[allow(clippy::large_enum_variant, reason = "a run has one value of it")]
pub(in crate::freezing) enum Deferred {
    #[default]
    Nothing,
    /// It is not read yet.
    Measured(Measurement),
    /// It was checked, and awaits the next report.
    Checked(Outcome),
}

/// The outcome of a check.
#[derive(Debug)]
pub(in crate::freezing) struct Outcome {
    pub(in crate::freezing) checked: Option<Checked>,
    pub(in crate::freezing) events: Vec<FreezeEvent>,
}

impl Deferred {
    /// Takes the measurement, if it is not read yet.
    pub(in crate::freezing) fn take_measured(&mut self) -> Option<Measurement> {
        match std::mem::take(self) {
            Self::Measured(measurement) => Some(measurement),
            other => {
                *self = other;
                None
            }
        }
    }

    /// Takes the outcome of its check.
    pub(in crate::freezing) fn take_checked(&mut self) -> Option<Outcome> {
        match std::mem::take(self) {
            Self::Checked(outcome) => Some(outcome),
            other => {
                *self = other;
                None
            }
        }
    }
}
