//! Results by class: part of `summary.json` and of what `finetune evaluate` prints.

use serde::{Deserialize, Serialize};

/// The results by class of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassResults {
    /// A result per label, in the order of their ids.
    pub classes: Vec<ClassResult>,
    /// The number of examples by label (the row) and by predicted label (the column), both in the order of `classes`;
    /// absent where an example has several labels, or a token is labelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion: Option<Vec<Vec<u64>>>,
}

/// The result of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassResult {
    /// The label.
    pub label: String,
    /// The share of its predictions that are right; 0 without one.
    pub precision: f64,
    /// The share of its examples that were found; 0 without one.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1: f64,
    /// The number of its examples.
    pub support: u64,
}
