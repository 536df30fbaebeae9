//! `evals.jsonl`: a record per evaluation on `data.eval`.

use serde::{Deserialize, Serialize};

use super::classes::ClassResults;
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

impl EvalRecord {
    /// Returns the record as `evals.jsonl` has it: results by class are in the summary.
    #[must_use]
    pub fn without_classes(&self) -> Self {
        Self { evaluation: Evaluation { classes: None, ..self.evaluation.clone() }, ..self.clone() }
    }
}

/// The results of an evaluation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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
    /// The mean recall of the classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balanced_accuracy: Option<f64>,
    /// The mean F1 of the classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub macro_f1: Option<f64>,
    /// The F1 of all decisions together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_f1: Option<f64>,
    /// The correlation coefficient of Matthews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcc: Option<f64>,
    /// The mean squared error of predicted numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mse: Option<f64>,
    /// Pearson's correlation of predicted numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pearson: Option<f64>,
    /// Spearman's correlation of predicted numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spearman: Option<f64>,
    /// The results by class; not in `evals.jsonl`, where the summary has those of the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<ClassResults>,
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
        Scores {
            loss: Some(self.loss),
            accuracy: self.accuracy,
            perplexity: self.perplexity,
            accuracy_per_byte: self.accuracy_per_byte,
            exact_match: self.exact_match,
            balanced_accuracy: self.balanced_accuracy,
            macro_f1: self.macro_f1,
            micro_f1: self.micro_f1,
            mcc: self.mcc,
            mse: self.mse,
            pearson: self.pearson,
            spearman: self.spearman,
        }
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
    /// The mean recall of the classes.
    pub balanced_accuracy: Option<f64>,
    /// The mean F1 of the classes.
    pub macro_f1: Option<f64>,
    /// The F1 of all decisions together.
    pub micro_f1: Option<f64>,
    /// The correlation coefficient of Matthews.
    pub mcc: Option<f64>,
    /// The mean squared error of predicted numbers.
    pub mse: Option<f64>,
    /// Pearson's correlation of predicted numbers.
    pub pearson: Option<f64>,
    /// Spearman's correlation of predicted numbers.
    pub spearman: Option<f64>,
}

impl Scores {
    /// Writes what was measured in one line; `None` when nothing was.
    pub fn text(&self) -> Option<String> {
        let measured = [
            ("accuracy", self.accuracy),
            ("accuracy per byte", self.accuracy_per_byte),
            ("exact match", self.exact_match),
            ("Pearson", self.pearson),
            ("Spearman", self.spearman),
            ("loss", self.loss),
            ("perplexity", self.perplexity),
        ];
        let parts = measured.into_iter().filter_map(|(name, value)| Some(format!("{name} {:.4}", value?)));
        let parts: Vec<String> = parts.collect();
        if parts.is_empty() { None } else { Some(parts.join(", ")) }
    }
}
