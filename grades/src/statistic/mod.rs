//! Statistics of a component's gradient, measured once per check.

mod filter;
mod sample;
mod set;
mod snapshot;
mod two_batch;

pub use filter::MomentFilter;
pub use sample::ComponentSample;
pub use set::StatisticSet;
pub use snapshot::GradientSnapshot;
pub use two_batch::TwoBatch;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::schema::unknown_name;

/// A scalar of one component with gradient g of N elements.
///
/// Which one a threshold is compared with is the key `metric`.
///
/// ```
/// use grades::statistic::Statistic;
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
    /// Σ|gₜ − gₜ₋₁| from one optimizer step to the next (GradES, arXiv 2509.01842v3, Eq. 1). For parity: a steady
    /// gradient makes it small, pure noise makes it √2·‖g‖₁. It keeps a copy of every gradient.
    GradDeltaL1,
    /// Σ|Wₜ − Wₜ₋ₖ| from one check to the next (the Python package `grades` 1.0.6). For parity: it follows the
    /// learning rate. It keeps a copy of every weight.
    WeightDeltaL1,
    /// ‖ΔW‖₁ ÷ (N·lr) of the optimizer's last update, decoupled weight decay left out. Under Adam pure noise gives
    /// √((1 − β₁) ÷ (1 + β₁))·√(2 ÷ π), 0.183 at β₁ = 0.9.
    UpdateMeanAbs,
    /// The share of the gradient that is signal: |mean|² ÷ (|mean|² + noise), estimated without bias from the
    /// optimizer's first moment; see [`MomentFilter`]. Near 0 when noise is all that is left.
    SignalFraction,
    /// |G|², the squared norm of the true gradient, estimated from one small and one large batch (McCandlish et al.,
    /// arXiv 1812.06162, Eq. A.2). Needs gradient accumulation; may be below 0.
    TwoBatchSignal,
    /// tr(Σ) ÷ B, the squared norm of the large batch's noise, estimated in the same way (Eq. A.3).
    TwoBatchNoise,
    /// The fall of the loss per step that the component brings, to first order and in the loss's own unit: lr·Σgₜ·uₜ₋₁ with
    /// the direction u of the optimizer's update before, for Adam m̂ₜ₋₁ ÷ (√v̂ₜ₋₁ + ε), for SGD its momentum buffer.
    ///
    /// The direction does not depend on gₜ, so gₜ is an unbiased sample of the loss's slope along it; against the direction
    /// after gₜ, noise times itself would be most of the sum. It adds up over components. Below 0 the last update
    /// overshot, as every other one does once only noise is left.
    ///
    /// Weight decay is no part of it: it is there for other data than those that are trained on, and takes back on them
    /// what the gradient brings. A component's first step has no sample: there was no update before it. If the loss is
    /// scaled, so is the value.
    Progress,
}

impl Statistic {
    /// All statistics.
    pub const ALL: [Statistic; 11] = [
        Self::GradL1,
        Self::GradMeanAbs,
        Self::GradL2,
        Self::GradRms,
        Self::GradDeltaL1,
        Self::WeightDeltaL1,
        Self::UpdateMeanAbs,
        Self::SignalFraction,
        Self::TwoBatchSignal,
        Self::TwoBatchNoise,
        Self::Progress,
    ];

    /// The kebab-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::GradL1 => "grad-l1",
            Self::GradMeanAbs => "grad-mean-abs",
            Self::GradL2 => "grad-l2",
            Self::GradRms => "grad-rms",
            Self::GradDeltaL1 => "grad-delta-l1",
            Self::WeightDeltaL1 => "weight-delta-l1",
            Self::UpdateMeanAbs => "update-mean-abs",
            Self::SignalFraction => "signal-fraction",
            Self::TwoBatchSignal => "two-batch-signal",
            Self::TwoBatchNoise => "two-batch-noise",
            Self::Progress => "progress",
        }
    }

    /// Whether it stays the same when every gradient is multiplied by one positive constant.
    ///
    /// [`UpdateMeanAbs`](Self::UpdateMeanAbs) does under Adam only, and so does not count.
    pub fn is_scale_free(self) -> bool {
        matches!(self, Self::SignalFraction)
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
