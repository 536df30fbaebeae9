//! The `[early_stopping]` table.

use grades::schema::field::{AT_LEAST_ZERO, count, flag, number, word};
use grades::schema::table;
use serde::Serialize;

use crate::records::Metric;

table! {
    /// When a run ends because it no longer improves on the examples for evaluation.
    #[derive(Debug, Clone, Copy, PartialEq, Serialize)]
    pub struct EarlyStoppingConfig = "early_stopping" {
        /// The metric on data.eval that must improve.
        metric: Metric = word(Metric::Loss),
        /// Evaluations in a row without improvement that end the run.
        patience: u64 = count(5, 1),
        /// The smallest change that counts as an improvement.
        min_delta: f64 = number(0.0, AT_LEAST_ZERO),
        /// End with the weights of the best evaluation instead of the last ones.
        restore_best: bool = flag(true),
    }
}
