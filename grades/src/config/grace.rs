//! The beginning of a run, in which no policy freezes anything.

use std::fmt;

use serde::Serialize;
use toml::Value;

use crate::error::Problems;
use crate::schema::Section;
use crate::schema::field::Field;

/// The beginning of a run, in which no policy freezes anything.
///
/// As TOML: `grace = 0.55` for a share of the planned steps, or `grace = { epochs = 1 }` for passes over the training
/// examples. As long as a pass brings examples that were never seen, training learns from them; no statistic of those that
/// were seen rules that out.
///
/// ```
/// use grades::config::Grace;
///
/// assert_eq!(Grace::from(0.55), Grace::Share(0.55));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Grace {
    /// A share of the planned steps, from 0 to 1. Components that must cool in time begin after it as well.
    Share(f64),
    /// Passes over the training examples. It ends early enough for all components to cool before the run ends.
    Epochs {
        /// The number of passes, at least 0.
        epochs: f64,
    },
}

impl From<f64> for Grace {
    fn from(share: f64) -> Self {
        Self::Share(share)
    }
}

impl fmt::Display for Grace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(share) => write!(f, "{share}"),
            Self::Epochs { epochs } => write!(f, "{{ epochs = {epochs} }}"),
        }
    }
}

const SHARE: &str = "a share from 0 to 1";
const EPOCHS: &str = "{ epochs = E } with E of at least 0";

impl Grace {
    /// Describes the values of the key.
    pub(super) fn field() -> Field<Self> {
        let read = |section: &mut Section<'_>, key: &str, default: Self| {
            if section.is_table(key) {
                return section.value_or(key, default, EPOCHS, |value| Self::epochs(&value));
            }
            let share = match default {
                Self::Share(share) => share,
                Self::Epochs { .. } if section.has(key) => 0.0,
                Self::Epochs { .. } => return Some(default),
            };
            section.number_or(key, share, SHARE, |share| (0.0..=1.0).contains(&share)).map(Self::Share)
        };
        Field::new(Self::Share(0.0), format!("{SHARE}, or {EPOCHS}"), read).checked(|grace| grace.problem())
    }

    fn epochs(value: &Value) -> Option<Self> {
        let table = value.as_table().filter(|table| table.len() == 1)?;
        let epochs = table.get("epochs")?;
        let epochs = epochs.as_float().or_else(|| epochs.as_integer().map(|epochs| epochs as f64))?;
        Some(Self::Epochs { epochs }).filter(|grace| grace.problem().is_none())
    }

    fn problem(&self) -> Option<String> {
        match *self {
            Self::Share(share) if !(0.0..=1.0).contains(&share) => {
                Some(format!("expected {SHARE}, found {share}"))
            }
            Self::Epochs { epochs } if !(epochs >= 0.0 && epochs.is_finite()) => {
                Some(format!("expected {EPOCHS}, found {self}"))
            }
            Self::Share(_) | Self::Epochs { .. } => None,
        }
    }

    /// Returns its steps in a run of `total_steps`, of which `epoch_steps` make a pass over the examples. Passes end at
    /// `deadline`, the last step at which components can begin to cool. Adds a problem when the length of a pass is needed
    /// and not known.
    pub(crate) fn steps(
        self,
        total_steps: u64,
        epoch_steps: Option<u64>,
        deadline: u64,
        problems: &mut Problems,
    ) -> u64 {
        // 0.55 × 100 is a little above 55 in binary; the paper's ⌈α·T⌉ means 55.
        let of = |share: f64, whole: u64| (share * whole as f64 - 1e-9).ceil().max(0.0) as u64;
        match (self, epoch_steps) {
            (Self::Share(share), _) => of(share, total_steps),
            (Self::Epochs { epochs }, Some(steps)) => of(epochs, steps).min(deadline),
            (Self::Epochs { epochs }, None) => {
                let message = format!(
                    "is {epochs} epochs, and nothing says how many steps an epoch has: call \
                     FreezingConfig::with_epoch_steps, or give a share of the steps"
                );
                problems.push("grace", message);
                0
            }
        }
    }
}
