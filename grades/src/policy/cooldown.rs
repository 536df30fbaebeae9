//! How long a component cools before it freezes.

use std::fmt;

use serde::{Deserialize, Serialize};
use toml::Value;

/// How long a component cools before it freezes; [`Cooling`](crate::config::Cooling) says how.
///
/// A component whose gradient is all noise walks at random around its optimum; what still helps is to take the noise out
/// of its weights. So it cools first, over C steps, and then it freezes. 0 freezes at once, as the paper does.
///
/// As TOML: `cooldown = 80`, or `cooldown = { share = 1.0 }` for the number of steps before the decision.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Cooldown {
    /// A number of optimizer steps.
    Steps(u64),
    /// This share of the steps until the decision.
    Share {
        /// The share, at least 0.
        share: f64,
    },
}

impl Default for Cooldown {
    fn default() -> Self {
        Self::Steps(0)
    }
}

impl fmt::Display for Cooldown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(steps) => write!(f, "{steps}"),
            Self::Share { share } => write!(f, "{{ share = {share} }}"),
        }
    }
}

impl Cooldown {
    /// The accepted values, for error messages.
    pub(crate) const EXPECTED: &'static str = "a number of steps, or { share = S } with S of at least 0";

    pub(crate) fn read(value: &Value) -> Option<Self> {
        if let Some(steps) = value.as_integer() {
            return u64::try_from(steps).ok().map(Self::Steps);
        }
        let table = value.as_table().filter(|table| table.len() == 1)?;
        let share = table.get("share")?;
        let share = share.as_float().or_else(|| share.as_integer().map(|share| share as f64))?;
        Some(Self::Share { share }).filter(|cooldown| cooldown.is_valid())
    }

    pub(crate) fn is_valid(self) -> bool {
        match self {
            Self::Steps(_) => true,
            Self::Share { share } => share >= 0.0 && share.is_finite(),
        }
    }

    /// Returns whether nothing cools.
    pub fn is_off(self) -> bool {
        matches!(self, Self::Steps(0)) || self == Self::Share { share: 0.0 }
    }

    /// Returns the longer of two; a share counts as longer than a number of steps.
    #[must_use]
    pub fn longer(self, other: Self) -> Self {
        match (self, other) {
            (Self::Steps(one), Self::Steps(two)) => Self::Steps(one.max(two)),
            (Self::Share { share: one }, Self::Share { share: two }) => Self::Share { share: one.max(two) },
            (share @ Self::Share { .. }, steps) | (steps, share @ Self::Share { .. }) => {
                if share.is_off() {
                    steps
                } else {
                    share
                }
            }
        }
    }

    /// Returns the steps that a component cools when `steps` went before the decision.
    pub(crate) fn steps(self, steps: u64) -> u64 {
        match self {
            Self::Steps(cooldown) => cooldown,
            Self::Share { share } => (share * steps as f64).ceil() as u64,
        }
    }
}
