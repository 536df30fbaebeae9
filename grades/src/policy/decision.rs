//! What a policy answers.

use serde::Serialize;

use crate::Statistic;

/// What is to become of a component.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Decision {
    /// It stays as it is.
    Keep,
    /// It has converged: no further update.
    Freeze(Cause),
}

impl Decision {
    /// Freezes when `value` is below `threshold`; a value that is not finite keeps.
    pub fn freeze_below(policy: &'static str, statistic: Statistic, value: f64, threshold: f64) -> Self {
        if value.is_finite() && value < threshold {
            Decision::Freeze(Cause { policy, statistic, value, threshold })
        } else {
            Decision::Keep
        }
    }

    /// Whether it is [`Decision::Freeze`].
    pub fn is_freeze(&self) -> bool {
        matches!(self, Decision::Freeze(_))
    }
}

/// Why a policy decided so: what it compared with what.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cause {
    /// The policy that decided; inside a composite one, the child.
    pub policy: &'static str,
    /// The statistic that it looked at.
    pub statistic: Statistic,
    /// The statistic's value.
    pub value: f64,
    /// What the value was compared with.
    pub threshold: f64,
}
