//! Mean, spread and paired differences over seeds.

use serde::Serialize;

/// The mean; `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() { None } else { Some(values.iter().sum::<f64>() / values.len() as f64) }
}

/// The sample standard deviation, with n − 1 in the denominator; `None` of fewer than two values.
///
/// ```
/// use grades_finetune::compare::standard_deviation;
///
/// assert_eq!(standard_deviation(&[1.0, 3.0]), Some(2f64.sqrt()));
/// assert_eq!(standard_deviation(&[1.0]), None);
/// ```
pub fn standard_deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// The differences of two rows, seed by seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Paired {
    /// The mean difference.
    pub mean: f64,
    /// Its standard error: the sample standard deviation of the differences ÷ √n; `None` of one seed.
    pub standard_error: Option<f64>,
    /// The seeds that both rows have.
    pub n: usize,
}

/// The differences first − second of pairs of values; `None` without a pair.
///
/// ```
/// use grades_finetune::compare::paired;
///
/// let differences = paired(&[(3.0, 1.0), (5.0, 1.0)]).unwrap();
/// assert_eq!((differences.mean, differences.standard_error), (3.0, Some(1.0)));
/// ```
pub fn paired(pairs: &[(f64, f64)]) -> Option<Paired> {
    let differences: Vec<f64> = pairs.iter().map(|(first, second)| first - second).collect();
    let n = differences.len();
    let error = standard_deviation(&differences).map(|deviation| deviation / (n as f64).sqrt());
    mean(&differences).map(|mean| Paired { mean, standard_error: error, n })
}
