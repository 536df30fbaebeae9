//! An exponential moving average without the bias of its start.

use serde::{Deserialize, Serialize};

/// An exponential moving average, divided by the sum of its weights (Kingma and Ba, arXiv 1412.6980, section 3).
///
/// A window of n checks means a decay of 1 − 1/n; the average is ready once n values have come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Average {
    sum: f64,
    weight: f64,
    samples: u64,
}

impl Average {
    /// Takes in a value, which must be finite.
    pub(crate) fn push(&mut self, value: f64, window: u64) {
        let gain = 1.0 / window as f64;
        self.sum += gain * (value - self.sum);
        self.weight += gain * (1.0 - self.weight);
        self.samples = self.samples.saturating_add(1).min(window);
    }

    /// Returns the average, once it is ready.
    pub(crate) fn ready(&self, window: u64) -> Option<f64> {
        (self.samples >= window).then(|| self.sum / self.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::Average;

    #[test]
    fn a_constant_is_its_own_average_once_the_window_is_full() {
        let mut average = Average::default();
        for sample in 1..=4 {
            average.push(3.0, 4);
            assert_eq!(average.ready(4).is_some(), sample == 4);
        }
        assert!((average.ready(4).unwrap() - 3.0).abs() < 1e-15);
    }

    #[test]
    fn a_window_of_one_is_the_last_value() {
        let mut average = Average::default();
        for value in [5.0, -2.0, 7.0] {
            average.push(value, 1);
            assert_eq!(average.ready(1), Some(value));
        }
    }
}
