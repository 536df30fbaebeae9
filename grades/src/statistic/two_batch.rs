//! Signal and noise from a small and a large batch.

/// The estimates of signal and noise in a gradient from its squared norm over a small and over a large batch
/// (McCandlish et al., arXiv 1812.06162, appendix A.1).
///
/// With S² the squared norm over b examples and B² that over B > b examples, of which the b are a part,
/// |G|² = (B·B² − b·S²) ÷ (B − b) and tr(Σ) = (S² − B²) ÷ (1 ÷ b − 1 ÷ B). Each is unbiased on its own; averages
/// are to be taken of each before they are compared.
///
/// ```
/// use grades::statistic::TwoBatch;
///
/// // Signal 4, noise 8 an example: batches of 1 and 4 are expected to have squared norms of 12 and 6.
/// let estimate = TwoBatch::estimate(12.0, 1.0, 6.0, 4.0).ok_or("equal batches")?;
/// assert_eq!((estimate.signal, estimate.noise), (4.0, 2.0));
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwoBatch {
    /// |G|², the squared norm of the true gradient; may be below 0.
    pub signal: f64,
    /// tr(Σ) ÷ B, the squared norm of the noise in the large batch's gradient; may be below 0.
    pub noise: f64,
}

impl TwoBatch {
    /// Estimates both from the squared norms of mean gradients over `small` and `large` examples.
    ///
    /// `None` unless `large` is above `small` and `small` above 0.
    pub fn estimate(small_squares: f64, small: f64, large_squares: f64, large: f64) -> Option<Self> {
        if !(small > 0.0 && large > small) {
            return None;
        }
        let signal = (large * large_squares - small * small_squares) / (large - small);
        let trace = (small_squares - large_squares) / (1.0 / small - 1.0 / large);
        Some(Self { signal, noise: trace / large })
    }
}
