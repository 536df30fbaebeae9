//! The `[early_stopping]` table of a run.

use std::str::FromStr;

use grades::Error;
use grades::schema::Section;
use serde::Serialize;

use super::values::unknown;
use crate::records::Metric;

/// When a run ends because it no longer gets better on the examples for evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EarlyStoppingConfig {
    /// What gets better.
    pub metric: Metric,
    /// Evaluations in a row without getting better that end the run.
    pub patience: u64,
    /// By how much the metric must get better to count.
    pub min_delta: f64,
    /// Whether the run ends with the weights of its best evaluation instead of its last ones.
    pub restore_best: bool,
}

impl FromStr for Metric {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        match word {
            "loss" => Ok(Self::Loss),
            "accuracy" => Ok(Self::Accuracy),
            _ => Err(unknown("metric", word, "loss, accuracy")),
        }
    }
}

impl EarlyStoppingConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let metric = section.parsed_or("metric", Metric::Loss);
        let patience = section.integer_or("patience", 5, "at least 1", |number| number >= 1);
        let min_delta = section.number_or("min_delta", 0.0, "a number of at least 0", |number| {
            number >= 0.0 && number.is_finite()
        });
        let restore_best = section.flag_or("restore_best", true);
        Some(Self {
            metric: metric?,
            patience: patience?,
            min_delta: min_delta?,
            restore_best: restore_best?,
        })
    }
}
