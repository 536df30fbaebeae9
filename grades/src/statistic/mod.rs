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

use crate::schema::words;

words! {
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
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    #[non_exhaustive]
    pub enum Statistic: "statistic" {
        /// Σ|g|, which grows with N (GradES, arXiv 2509.01842v1, Algorithm 1; for LoRA over A and B together).
        GradL1 = "grad-l1",
        /// Σ|g| ÷ N, free of the matrix's size.
        GradMeanAbs = "grad-mean-abs",
        /// √Σg², which grows with √N.
        GradL2 = "grad-l2",
        /// √(Σg² ÷ N), free of the matrix's size.
        GradRms = "grad-rms",
        /// Σ|gₜ − gₜ₋₁| from one optimizer step to the next (GradES, arXiv 2509.01842v3, Eq. 1). For parity: a steady
        /// gradient makes it small, pure noise makes it √2·‖g‖₁. It keeps a copy of every gradient.
        GradDeltaL1 = "grad-delta-l1",
        /// Σ|Wₜ − Wₜ₋ₖ| from one check to the next (the Python package `grades` 1.0.6). For parity: it follows the
        /// learning rate. It keeps a copy of every weight.
        WeightDeltaL1 = "weight-delta-l1",
        /// ‖ΔW‖₁ ÷ (N·lr) of the optimizer's last update, decoupled weight decay left out. Under Adam pure noise gives
        /// √((1 − β₁) ÷ (1 + β₁))·√(2 ÷ π), 0.183 at β₁ = 0.9.
        UpdateMeanAbs = "update-mean-abs",
        /// The share of the gradient that is signal: |mean|² ÷ (|mean|² + noise), estimated without bias from the
        /// optimizer's first moment; see [`MomentFilter`]. Near 0 when noise is all that is left.
        SignalFraction = "signal-fraction",
        /// |G|², the squared norm of the true gradient, estimated from one small and one large batch (McCandlish et al.,
        /// arXiv 1812.06162, Eq. A.2). Needs gradient accumulation; may be below 0.
        TwoBatchSignal = "two-batch-signal",
        /// tr(Σ) ÷ B, the squared norm of the large batch's noise, estimated in the same way (Eq. A.3).
        TwoBatchNoise = "two-batch-noise",
        /// The fall of the loss per step that the component brings, to first order and in the loss's own unit: lr·Σgₜ·uₜ₋₁
        /// with the direction u of the optimizer's update before, for Adam m̂ₜ₋₁ ÷ (√v̂ₜ₋₁ + ε), for SGD its momentum buffer.
        ///
        /// The direction does not depend on gₜ, so gₜ is an unbiased sample of the loss's slope along it; against the
        /// direction after gₜ, noise times itself would be most of the sum. It adds up over components. Below 0 the last
        /// update overshot, as every other one does once only noise is left.
        ///
        /// Weight decay is no part of it: it is there for other data than those that are trained on, and takes back on
        /// them what the gradient brings. A component's first step has no sample: there was no update before it. If the
        /// loss is scaled, so is the value.
        Progress = "progress",
    }
}

impl Statistic {
    /// Returns whether it stays the same when every gradient is multiplied by one positive constant.
    ///
    /// [`UpdateMeanAbs`](Self::UpdateMeanAbs) does under Adam only, and so does not count.
    pub fn is_scale_free(self) -> bool {
        matches!(self, Self::SignalFraction)
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}
