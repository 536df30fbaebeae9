//! `evals.jsonl`: one line per evaluation on `data.eval`.

use std::io::Write;

use serde::Serialize;

use super::evaluate::Evaluation;

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

/// Writes the lines; one that cannot be written ends no run.
#[derive(Debug)]
pub(super) struct EvalLog<W> {
    writer: W,
    failed: Option<anyhow::Error>,
}

impl<W: Write> EvalLog<W> {
    pub(super) fn new(writer: W) -> Self {
        Self { writer, failed: None }
    }

    pub(super) fn push(&mut self, record: &EvalRecord) {
        let mut write = || -> anyhow::Result<()> {
            let mut line = serde_json::to_vec(record)?;
            line.push(b'\n');
            self.writer.write_all(&line)?;
            Ok(self.writer.flush()?)
        };
        if self.failed.is_none() {
            self.failed = write().err();
        }
    }

    /// The first failure to write.
    pub(super) fn take_error(&mut self) -> Option<anyhow::Error> {
        self.failed.take().map(|error| error.context("evals.jsonl is incomplete"))
    }
}
