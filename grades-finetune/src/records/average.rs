//! Mean and spread over seeds.

/// Returns the mean; `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() { None } else { Some(values.iter().sum::<f64>() / values.len() as f64) }
}

/// Returns the sample standard deviation, with n − 1 in the denominator; `None` of fewer than two values.
///
/// ```
/// use grades_finetune::records::standard_deviation;
///
/// assert_eq!(standard_deviation(&[1.0, 3.0]), Some(2f64.sqrt()));
/// assert_eq!(standard_deviation(&[1.0]), None);
/// ```
pub fn standard_deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// A mean over seeds, and how far apart the seeds are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Average {
    /// The mean.
    pub mean: f64,
    /// The sample standard deviation; `None` of one seed.
    pub deviation: Option<f64>,
}

impl Average {
    /// Averages one number of each seed; `None` of no seed, and where a seed lacks the number.
    pub fn of(values: impl Iterator<Item = Option<f64>>) -> Option<Self> {
        let values: Option<Vec<f64>> = values.map(|value| value.filter(|value| value.is_finite())).collect();
        let values = values?;
        Some(Self { mean: mean(&values)?, deviation: standard_deviation(&values) })
    }
}
