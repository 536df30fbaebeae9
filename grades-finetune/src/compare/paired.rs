//! Paired differences over seeds.

use crate::records::{Paired, mean, standard_deviation};

/// Computes the differences first − second of pairs of values; `None` without a pair.
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
