//! What a policy answers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Error;
use crate::schema::unknown_name;
use crate::statistic::Statistic;

/// What is to become of a component.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Decision {
    /// It stays as it is.
    Keep,
    /// It has converged: no further update.
    Freeze(Cause),
    /// It was frozen and is to train again, with fresh optimizer state.
    Thaw(Cause),
}

impl Decision {
    /// Freezes when `value` is below `threshold`; a value that is not finite keeps.
    pub fn freeze_below(policy: &'static str, statistic: Statistic, value: f64, threshold: f64) -> Self {
        if value.is_finite() && value < threshold {
            Decision::Freeze(Cause { policy, measure: statistic.into(), value, threshold })
        } else {
            Decision::Keep
        }
    }

    /// Freezes when `value` is at or below `floor`; a value that is not finite keeps.
    pub fn freeze_at_or_below(policy: &'static str, statistic: Statistic, value: f64, floor: f64) -> Self {
        if value.is_finite() && value <= floor {
            Decision::Freeze(Cause { policy, measure: statistic.into(), value, threshold: floor })
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
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cause {
    /// The policy that decided; inside a composite one, the child.
    pub policy: &'static str,
    /// What it looked at.
    pub measure: Measure,
    /// What it saw.
    pub value: f64,
    /// What the value was compared with.
    pub threshold: f64,
}

/// What a decision is based on: mostly a statistic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Measure {
    /// A statistic of the component's gradient, or an average of it.
    Statistic(Statistic),
    /// The component's place among the active ones.
    Rank,
    /// The checks since it froze.
    ChecksFrozen,
    /// The optimizer's learning rate.
    LearningRate,
    /// The optimizer steps that are left of the run.
    StepsLeft,
}

impl Measure {
    /// The measures that are not statistics.
    const OTHERS: [Measure; 4] = [Self::Rank, Self::ChecksFrozen, Self::LearningRate, Self::StepsLeft];

    /// The kebab-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Statistic(statistic) => statistic.name(),
            Self::Rank => "rank",
            Self::ChecksFrozen => "checks-frozen",
            Self::LearningRate => "learning-rate",
            Self::StepsLeft => "steps-left",
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
