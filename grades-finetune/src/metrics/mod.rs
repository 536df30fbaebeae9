//! Metrics of predictions: pure numbers, without tensors.
//!
//! | type or function | task |
//! |---|---|
//! | [`ConfusionMatrix`] | one label of several |
//! | [`pearson`], [`spearman`], [`mean_squared_error`] | a number |
//!
//! The values are those of scikit-learn and scipy. What an evaluation sums over parts of the data can be merged:
//! matrices with [`ConfusionMatrix::merge`].

mod confusion;
mod regression;

pub use confusion::ConfusionMatrix;
pub use regression::{mean_squared_error, pearson, spearman};

/// Returns one number divided by another, 0 where that is undefined, as scikit-learn has it.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

/// Returns the harmonic mean of precision and recall from counts of hits, predictions and examples.
fn f1(hits: u64, predicted: u64, support: u64) -> f64 {
    ratio(2.0 * hits as f64, predicted as f64 + support as f64)
}
