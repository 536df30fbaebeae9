//! `evals.jsonl`: a record per evaluation on `data.eval`.

use grades::schema::words;
use serde::{Deserialize, Serialize};

use super::number::{nan, nan_if_null, whole};

/// The file's name in a run's folder.
pub const EVALS: &str = "evals.jsonl";

/// An evaluation of a run, and the cost of the run so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalRecord {
    /// The optimizer steps before it.
    pub step: u64,
    /// True for the one at the end, of the weights that are saved.
    #[serde(default, rename = "final")]
    pub is_final: bool,
    /// True for the best so far, by early stopping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<bool>,
    /// Seconds in training steps before it.
    #[serde(default = "nan", deserialize_with = "nan_if_null")]
    pub train_seconds: f64,
    /// Seconds in evaluations during training, with this one unless it is the final one.
    #[serde(default)]
    pub validation_seconds: f64,
    /// Wall seconds since the first step began.
    #[serde(default = "nan", deserialize_with = "nan_if_null")]
    pub wall_seconds: f64,
    /// The FLOPs of the steps before it.
    #[serde(default, deserialize_with = "whole")]
    pub flops: u128,
    /// The FLOPs of evaluations during training, with this one unless it is the final one.
    #[serde(default, deserialize_with = "whole")]
    pub validation_flops: u128,
    /// Its results.
    #[serde(flatten)]
    pub evaluation: Evaluation,
}

/// The results of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The mean cross-entropy over the examples, or over a decoder's tokens, in nats.
    #[serde(default = "nan", deserialize_with = "nan_if_null")]
    pub loss: f64,
    /// e to the power of the loss, for decoders.
    pub perplexity: Option<f64>,
    /// The share of examples whose most likely label, or choice, is the right one.
    pub accuracy: Option<f64>,
    /// The same for choices, with each log-likelihood divided by the choice's length in bytes.
    pub accuracy_per_byte: Option<f64>,
    /// The share of a decoder's answers that are exactly right.
    pub exact_match: Option<f64>,
    /// The number of examples.
    #[serde(default)]
    pub examples: usize,
    /// Floating-point operations, counted from the shapes.
    #[serde(default, rename = "eval_flops", deserialize_with = "whole")]
    pub flops: u128,
    /// Wall seconds.
    #[serde(default)]
    pub seconds: f64,
}

impl Evaluation {
    /// Returns the scores, without size and cost.
    pub fn scores(&self) -> Scores {
        let Self { loss, perplexity, accuracy, accuracy_per_byte, exact_match, .. } = *self;
        Scores { loss: Some(loss), accuracy, perplexity, accuracy_per_byte, exact_match }
    }

    /// Writes the scores in one line.
    pub fn text(&self) -> String {
        self.scores().text().unwrap_or_default()
    }
}

/// The scores of a model on a part of the data; all `None` without such a part.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Scores {
    /// The mean loss.
    pub loss: Option<f64>,
    /// The accuracy.
    pub accuracy: Option<f64>,
    /// A decoder's perplexity.
    pub perplexity: Option<f64>,
    /// Its accuracy with likelihoods per byte, where the examples are questions.
    pub accuracy_per_byte: Option<f64>,
    /// The share of its answers that are exactly right.
    pub exact_match: Option<f64>,
}

impl Scores {
    /// Writes what was measured in one line; `None` when nothing was.
    pub fn text(&self) -> Option<String> {
        let measured = [
            ("accuracy", self.accuracy),
            ("accuracy per byte", self.accuracy_per_byte),
            ("exact match", self.exact_match),
            ("loss", self.loss),
            ("perplexity", self.perplexity),
        ];
        let parts = measured.into_iter().filter_map(|(name, value)| Some(format!("{name} {:.4}", value?)));
        let parts: Vec<String> = parts.collect();
        if parts.is_empty() { None } else { Some(parts.join(", ")) }
    }
}

words! {
    /// The measure by which an evaluation is judged.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Metric: "metric" {
        /// The lower the better.
        Loss = "loss",
        /// The higher the better.
        Accuracy = "accuracy",
    }
}

impl Metric {
    /// Returns whether `value` is better than `other` by more than `delta`; NaN never is.
    pub fn is_better(self, value: f64, other: f64, delta: f64) -> bool {
        match self {
            Self::Loss => other - value > delta,
            Self::Accuracy => value - other > delta,
        }
    }
}
