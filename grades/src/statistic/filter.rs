//! The signal fraction: what share of a gradient is its mean, judged by the optimizer's momentum.

/// Scalars that follow an optimizer's moving average of gradients, from which the share of signal in the gradient
/// is estimated.
///
/// An optimizer keeps mₜ = aₜ·mₜ₋₁ + bₜ·gₜ: Adam with a = β₁ and b = 1 − β₁, SGD with its momentum and
/// 1 − dampening, and b = 1 at its first step. With the same recursion for the sum of the weights, W₁, of their
/// squares, W₂ (with a² and b²), and of the squared gradient norms, Q,
///
/// - ‖m‖² ÷ W₁² ÷ (Q ÷ W₁) is what part of the gradient's power survives averaging, r;
/// - k = W₂ ÷ W₁² is what survives of pure noise, for Adam
///   (1 − β₁)(1 + β₁ᵗ) ÷ ((1 + β₁)(1 − β₁ᵗ)), which tends to 0.0526 at β₁ = 0.9;
/// - s = (r − k) ÷ (1 − k) estimates |mean|² ÷ (|mean|² + noise).
///
/// It does not depend on the learning rate, on the size of the matrix, or on the scale of the loss. The squared
/// gradient is followed by a scalar of its own rather than by Adam's second moment, whose β₂ would lag behind.
///
/// ```
/// use grades::statistic::MomentFilter;
///
/// // A gradient that never changes is all signal.
/// let mut filter = MomentFilter::default();
/// let (beta, gradient) = (0.9, 2.0_f64);
/// let mut moment = 0.0;
/// for _ in 0..20 {
///     moment = beta * moment + (1.0 - beta) * gradient;
///     filter.step(beta, 1.0 - beta, gradient * gradient);
/// }
/// let fraction = filter.signal_fraction(moment * moment).ok_or("too early")?;
/// assert!((fraction - 1.0).abs() < 1e-12);
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MomentFilter {
    weights: f64,
    squared_weights: f64,
    power: f64,
}

impl MomentFilter {
    /// Follows one optimizer step, m ← decay·m + gain·g, with a gradient of squared L2 norm `gradient_squares`.
    pub fn step(&mut self, decay: f64, gain: f64, gradient_squares: f64) {
        self.weights = decay * self.weights + gain;
        self.squared_weights = decay * decay * self.squared_weights + gain * gain;
        self.power = decay * self.power + gain * gradient_squares;
    }

    /// Returns whether no step has been followed yet.
    pub fn is_new(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the signal fraction for a moment of squared L2 norm `moment_squares`.
    ///
    /// `None` after a single step, when signal cannot be separated from noise, and without any gradient. Noise in
    /// the estimate may put it a little below 0.
    pub fn signal_fraction(&self, moment_squares: f64) -> Option<f64> {
        let noise = self.squared_weights / (self.weights * self.weights);
        let survives = moment_squares / (self.weights * self.power);
        // After one step all survives, of noise too; then 1 − k is 0 but for rounding.
        (self.power > 0.0 && noise < 1.0 - 1e-9).then(|| (survives - noise) / (1.0 - noise))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_floor_of_adam_is_its_closed_form() {
        let beta: f64 = 0.9;
        let mut filter = MomentFilter::default();
        for t in 1..=50 {
            filter.step(beta, 1.0 - beta, 1.0);
            let power = beta.powi(t);
            let expected = (1.0 - beta) * (1.0 + power) / ((1.0 + beta) * (1.0 - power));
            let found = filter.squared_weights / (filter.weights * filter.weights);
            assert!((found - expected).abs() < 1e-12, "step {t}: {found} against {expected}");
        }
    }

    #[test]
    fn one_step_and_no_gradient_tell_nothing() {
        let mut filter = MomentFilter::default();
        assert_eq!(filter.signal_fraction(0.0), None);
        filter.step(0.9, 0.1, 4.0);
        assert_eq!(filter.signal_fraction(0.04), None);
        let mut silent = MomentFilter::default();
        silent.step(0.9, 0.1, 0.0);
        silent.step(0.9, 0.1, 0.0);
        assert_eq!(silent.signal_fraction(0.0), None);
    }

    #[test]
    fn sgd_with_its_first_step_undamped_is_followed() {
        // buf₁ = g, then buf ← 0.8·buf + 0.5·g, with a constant gradient: all signal.
        let mut filter = MomentFilter::default();
        let mut buffer = 3.0;
        filter.step(0.0, 1.0, 9.0);
        for _ in 0..10 {
            buffer = 0.8 * buffer + 0.5 * 3.0;
            filter.step(0.8, 0.5, 9.0);
        }
        let fraction = filter.signal_fraction(buffer * buffer).unwrap();
        assert!((fraction - 1.0).abs() < 1e-12, "{fraction}");
    }
}
