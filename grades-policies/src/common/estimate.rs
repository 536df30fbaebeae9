//! The moving average of a noisy value, with its standard error.

use serde::{Deserialize, Serialize};

/// An exponential moving average without the bias of its start, and the variance of the values around it.
///
/// A window of n checks means a decay of 1 − 1/n, as in [`Average`](super::Average); the estimate is ready once n values have
/// come. With weights wᵢ of sum 1, S = Σwᵢ(xᵢ − mean)² and Q = Σwᵢ², the variance of one value is S ÷ (1 − Q) without
/// bias, and that of the mean Q times as large (West, CACM 22(9), 1979).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Estimate {
    mean: f64,
    /// S.
    spread: f64,
    /// Q.
    squared_weights: f64,
    /// The sum of the weights before they are divided by it.
    weight: f64,
    samples: u64,
}

impl Estimate {
    /// Takes in a value, which must be finite.
    pub(crate) fn push(&mut self, value: f64, window: u64) {
        let gain = 1.0 / window as f64;
        self.weight += gain * (1.0 - self.weight);
        let share = gain / self.weight;
        let away = value - self.mean;
        self.mean += share * away;
        self.spread = (1.0 - share) * (self.spread + share * away * away);
        self.squared_weights = (1.0 - share).powi(2) * self.squared_weights + share * share;
        self.samples = self.samples.saturating_add(1).min(window);
    }

    /// Returns the mean and its standard error, once they are ready.
    pub(crate) fn ready(&self, window: u64) -> Option<(f64, f64)> {
        // One value says nothing about its own error.
        let known = self.samples >= window && self.squared_weights < 1.0 - 1e-9;
        let variance = self.spread * self.squared_weights / (1.0 - self.squared_weights);
        known.then(|| (self.mean, variance.max(0.0).sqrt()))
    }
}

#[cfg(test)]
mod tests {
    use super::Estimate;

    #[test]
    fn a_constant_has_no_error() {
        let mut estimate = Estimate::default();
        for sample in 1..=6 {
            estimate.push(3.0, 6);
            assert_eq!(estimate.ready(6).is_some(), sample == 6);
        }
        let (mean, error) = estimate.ready(6).unwrap();
        assert!((mean - 3.0).abs() < 1e-15 && error < 1e-12, "{mean} ± {error}");
    }

    #[test]
    fn a_window_of_one_never_knows_its_error() {
        let mut estimate = Estimate::default();
        for value in [5.0, -2.0, 7.0] {
            estimate.push(value, 1);
            assert_eq!(estimate.ready(1), None);
        }
    }

    #[test]
    fn mean_and_error_are_those_of_the_weights_by_hand() {
        let values = [1.0, 4.0, -2.0, 0.5, 3.0, 3.0, -1.0];
        let window = 4;
        let mut estimate = Estimate::default();
        values.iter().for_each(|value| estimate.push(*value, window));
        let weights: Vec<f64> = (0..values.len()).rev().map(|age| 0.75f64.powi(age as i32)).collect();
        let total: f64 = weights.iter().sum();
        let weights: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
        let mean: f64 = values.iter().zip(&weights).map(|(value, weight)| value * weight).sum();
        let spread: f64 =
            values.iter().zip(&weights).map(|(value, weight)| weight * (value - mean).powi(2)).sum();
        let squares: f64 = weights.iter().map(|weight| weight * weight).sum();
        let error = (spread / (1.0 - squares) * squares).sqrt();
        let (found, found_error) = estimate.ready(window).unwrap();
        assert!(
            (found - mean).abs() < 1e-14 && (found_error - error).abs() < 1e-14,
            "{found} ± {found_error}"
        );
    }

    #[test]
    fn the_error_is_that_of_many_estimates() {
        // Uniform numbers of variance 1 ÷ 12 (SplitMix64); a decay of 1 − 1/n averages 2n − 1 values.
        let mut state = 1u64;
        let mut uniform = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)) as f64 / u64::MAX as f64 - 0.5
        };
        let runs = 2000;
        let (mut squares, mut errors) = (0.0, 0.0);
        for _ in 0..runs {
            let mut estimate = Estimate::default();
            (0..200).for_each(|_| estimate.push(uniform(), 20));
            let (mean, error) = estimate.ready(20).unwrap();
            squares += mean * mean / f64::from(runs);
            errors += error * error / f64::from(runs);
        }
        let expected = 1.0 / 12.0 / 39.0;
        assert!((errors / expected - 1.0).abs() < 0.05, "{errors} against {expected}");
        assert!((squares / errors - 1.0).abs() < 0.1, "{squares} against {errors}");
    }
}
