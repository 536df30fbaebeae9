//! A policy's answer and its reason.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Error;
use crate::schema::unknown_name;
use crate::statistic::Statistic;

/// A policy's answer about one component.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Decision {
    /// The component stays as it is.
    Keep,
    /// The component has converged: no further update.
    Freeze(Cause),
    /// The frozen component trains again, with fresh optimizer state.
    Thaw(Cause),
}

impl Decision {
    /// Freezes when `value` is below `threshold`. A value that is not finite never freezes.
    pub fn freeze_below(policy: &'static str, statistic: Statistic, value: f64, threshold: f64) -> Self {
        if value.is_finite() && value < threshold {
            Decision::Freeze(Cause::new(policy, statistic, value, threshold))
        } else {
            Decision::Keep
        }
    }

    /// Freezes when `value` is at or below `floor`. A value that is not finite never freezes.
    pub fn freeze_at_or_below(policy: &'static str, statistic: Statistic, value: f64, floor: f64) -> Self {
        if value.is_finite() && value <= floor {
            Decision::Freeze(Cause::new(policy, statistic, value, floor))
        } else {
            Decision::Keep
        }
    }

    /// Returns whether this is [`Decision::Freeze`].
    pub fn is_freeze(&self) -> bool {
        matches!(self, Decision::Freeze(_))
    }
}

/// The comparison behind a decision: a value and its threshold.
///
/// ```
/// use grades::policy::Cause;
/// use grades::statistic::Statistic;
///
/// let cause = Cause::new("my-policy", Statistic::GradL1, 0.5, 1.0);
/// assert_eq!(cause.policy, "my-policy");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    /// The policy that decided; inside a composite one, the child.
    pub policy: Cow<'static, str>,
    /// The quantity that was compared.
    pub measure: Measure,
    /// Its value.
    pub value: f64,
    /// The threshold that the value was compared with.
    pub threshold: f64,
}

impl Cause {
    /// Creates the cause: `policy` compared the `value` of `measure` with `threshold`.
    pub fn new(
        policy: impl Into<Cow<'static, str>>,
        measure: impl Into<Measure>,
        value: f64,
        threshold: f64,
    ) -> Self {
        Self { policy: policy.into(), measure: measure.into(), value, threshold }
    }
}

/// The quantity that a decision is based on: mostly a statistic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Measure {
    /// A statistic of the component's gradient, or an average of it.
    Statistic(Statistic),
    /// The component's rank among the active ones.
    Rank,
    /// The checks since it froze.
    ChecksFrozen,
    /// The optimizer's learning rate.
    LearningRate,
    /// The optimizer steps left in the run.
    StepsLeft,
    /// The relative change of a gradient's norm from one interval to the next.
    GradientChange,
}

impl Measure {
    /// The measures that are not statistics.
    const OTHERS: [Measure; 5] =
        [Self::Rank, Self::ChecksFrozen, Self::LearningRate, Self::StepsLeft, Self::GradientChange];

    /// Returns the kebab-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Statistic(statistic) => statistic.name(),
            Self::Rank => "rank",
            Self::ChecksFrozen => "checks-frozen",
            Self::LearningRate => "learning-rate",
            Self::StepsLeft => "steps-left",
            Self::GradientChange => "gradient-change",
        }
    }
}

impl From<Statistic> for Measure {
    fn from(statistic: Statistic) -> Self {
        Self::Statistic(statistic)
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Measure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl FromStr for Measure {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        let statistics = || Statistic::ALL.into_iter().map(Self::Statistic);
        let all = || statistics().chain(Self::OTHERS);
        let found = all().find(|measure| measure.name() == word);
        found.ok_or_else(|| unknown_name("measure", word, all().map(Self::name)))
    }
}

impl<'de> Deserialize<'de> for Measure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
