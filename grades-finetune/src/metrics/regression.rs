//! Metrics of predicted numbers.

/// Returns the mean squared difference; `None` without values or with lists of two lengths.
pub fn mean_squared_error(truth: &[f64], predicted: &[f64]) -> Option<f64> {
    if truth.is_empty() || truth.len() != predicted.len() {
        return None;
    }
    let sum: f64 = truth.iter().zip(predicted).map(|(truth, predicted)| (truth - predicted).powi(2)).sum();
    Some(sum / truth.len() as f64)
}

/// Returns Pearson's correlation; `None` with fewer than two values, or where one list has the same value throughout or
/// one that is not finite.
pub fn pearson(truth: &[f64], predicted: &[f64]) -> Option<f64> {
    if truth.len() < 2 || truth.len() != predicted.len() {
        return None;
    }
    let (truth, predicted) = (centred(truth)?, centred(predicted)?);
    let product: f64 = truth.iter().zip(&predicted).map(|(one, other)| one * other).sum();
    // Rounding may go beyond.
    Some(product.clamp(-1.0, 1.0))
}

/// Returns the deviations from the mean, of length 1.
fn centred(values: &[f64]) -> Option<Vec<f64>> {
    let first = *values.first()?;
    if values.iter().all(|value| *value == first) || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let largest = centred.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    // Scaled first: squares of large or small numbers are beyond f64.
    let length = centred.iter().map(|value| (value / largest).powi(2)).sum::<f64>().sqrt() * largest;
    (length > 0.0 && length.is_finite()).then(|| centred.iter().map(|value| value / length).collect())
}

/// Returns Spearman's correlation: Pearson's of the ranks, where equal values share the mean of their ranks.
///
/// `None` as for [`pearson`].
pub fn spearman(truth: &[f64], predicted: &[f64]) -> Option<f64> {
    if truth.iter().chain(predicted).any(|value| !value.is_finite()) {
        return None;
    }
    pearson(&ranks(truth), &ranks(predicted))
}

/// Returns the ranks from 1; equal values have the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<(f64, usize)> = values.iter().copied().zip(0..).collect();
    order.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    // 0.0 and -0.0 are equal, though ordered.
    for equal in order.chunk_by(|one, other| one.0 == other.0) {
        let rank = before as f64 + (equal.len() as f64 + 1.0) / 2.0;
        for (_, index) in equal {
            if let Some(slot) = ranks.get_mut(*index) {
                *slot = rank;
            }
        }
        before += equal.len();
    }
    ranks
}
