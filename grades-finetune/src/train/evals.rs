//! `evals.jsonl`: one line per evaluation on `data.eval`.

use std::io::Write;

use anyhow::Result;
use serde::Serialize;

use super::evaluate::Evaluation;
use super::lines::LineFile;
use super::log::write_line;

/// An evaluation, as a line of `evals.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvalRecord {
    /// The optimizer steps before it.
    pub step: u64,
    /// Whether it is the one at the end, of the weights that are saved.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Whether early stopping holds it for the best so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<bool>,
    /// Seconds in training steps before it.
    pub train_seconds: f64,
    /// Seconds in evaluations during training, with this one unless it is the final one.
    pub validation_seconds: f64,
    /// Wall seconds since the first step began.
    pub wall_seconds: f64,
    /// The FLOPs of the steps before it.
    pub flops: u128,
    /// The FLOPs of evaluations during training, with this one unless it is the final one.
    pub validation_flops: u128,
    /// What it found.
    #[serde(flatten)]
    pub evaluation: Evaluation,
}

/// Writes the lines.
#[derive(Debug)]
pub(super) struct EvalLog(LineFile);

impl EvalLog {
    pub(super) fn new(file: LineFile) -> Self {
        Self(file)
    }

    pub(super) fn push(&mut self, record: &EvalRecord) -> Result<()> {
        write_line(&mut self.0, record)?;
        Ok(self.0.flush()?)
    }
}
