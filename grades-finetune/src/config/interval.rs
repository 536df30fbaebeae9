//! Intervals between evaluations.

use serde::{Serialize, Serializer};
use toml::Value;

/// An interval: never, a number of steps, or a share of an epoch.
///
/// ```
/// use grades_finetune::config::Interval;
///
/// assert_eq!(Interval::Never.steps(200), None);
/// assert_eq!(Interval::Steps(50).steps(200), Some(50));
/// assert_eq!(Interval::EpochShare(0.1).steps(217), Some(22)); // rounded up
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Interval {
    /// Not at all: 0 in TOML.
    Never,
    /// Every `n` optimizer steps.
    Steps(u64),
    /// Every share of an epoch, above 0 and up to 1: 1.0 in TOML is once an epoch, 1 is every step.
    EpochShare(f64),
}

impl Interval {
    pub(super) const EXPECTED: &'static str =
        "a whole number of steps, 0 for never, or a share of an epoch up to 1.0";

    pub(super) fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Integer(0) => Some(Self::Never),
            Value::Integer(steps) => u64::try_from(*steps).ok().map(Self::Steps),
            Value::Float(share) if *share == 0.0 => Some(Self::Never),
            Value::Float(share) if *share > 0.0 && *share <= 1.0 => Some(Self::EpochShare(*share)),
            _ => None,
        }
    }

    /// Returns the steps from one time to the next when an epoch has `epoch` steps.
    pub fn steps(self, epoch: u64) -> Option<u64> {
        match self {
            Self::Never => None,
            Self::Steps(steps) => Some(steps),
            Self::EpochShare(share) => Some(((share * epoch as f64).ceil() as u64).max(1)),
        }
    }
}

impl Serialize for Interval {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Never => serializer.serialize_u64(0),
            Self::Steps(steps) => serializer.serialize_u64(steps),
            Self::EpochShare(share) => serializer.serialize_f64(share),
        }
    }
}
