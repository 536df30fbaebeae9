//! What is measured of a component's gradient, once per check.

mod sample;
mod set;
mod snapshot;

pub use sample::ComponentSample;
pub use set::StatisticSet;
pub use snapshot::GradientSnapshot;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::config::unknown_name;

/// A scalar of one component with gradient g of N elements.
///
/// Which one a threshold is compared with is the key `metric`.
///
/// ```
/// use grades::Statistic;
///
/// let metric: Statistic = "grad-mean-abs".parse()?;
/// assert_eq!(metric, Statistic::GradMeanAbs);
/// # Ok::<(), grades::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Statistic {
    /// Σ|g|, which grows with N (GradES, arXiv 2509.01842v1, Algorithm 1; for LoRA over A and B together).
    GradL1,
    /// Σ|g| ÷ N, free of the matrix's size.
    GradMeanAbs,
    /// √Σg², which grows with √N.
    GradL2,
    /// √(Σg² ÷ N), free of the matrix's size.
    GradRms,
}

impl Statistic {
    /// All statistics.
    pub const ALL: [Statistic; 4] = [Self::GradL1, Self::GradMeanAbs, Self::GradL2, Self::GradRms];

    /// The kebab-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::GradL1 => "grad-l1",
            Self::GradMeanAbs => "grad-mean-abs",
            Self::GradL2 => "grad-l2",
            Self::GradRms => "grad-rms",
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Statistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Statistic {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|statistic| statistic.name() == word).ok_or_else(|| {
            unknown_name("statistic", word, Self::ALL.iter().map(|statistic| statistic.name()))
        })
    }
}
