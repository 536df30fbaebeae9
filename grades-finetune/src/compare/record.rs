//! What one run left behind.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

use super::numbers::Numbers;
use crate::config::Metric;

/// A run, as the comparison sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunRecord {
    /// Its seed.
    pub seed: u64,
    /// Its folder, from that of the comparison.
    pub folder: String,
    /// Why it ended.
    pub ended: String,
    /// What it measured.
    #[serde(flatten)]
    pub numbers: Numbers,
    /// Its evaluations on `data.eval`, in order.
    #[serde(skip)]
    pub evals: Vec<EvalPoint>,
}

/// An evaluation on the way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvalPoint {
    /// The steps before it.
    pub step: f64,
    /// What whoever trains in this way has paid by then, in seconds.
    pub seconds: f64,
    /// The FLOPs before it, of evaluations too where the run ends by them.
    pub flops: f64,
    /// The loss.
    pub loss: f64,
    /// The accuracy, where there is one.
    pub accuracy: Option<f64>,
}

/// The names in `summary.json` that are taken over as they are.
const TAKEN: [&str; 24] = [
    "steps",
    "planned_steps",
    "examples",
    "train_seconds",
    "train_cpu_seconds",
    "validation_seconds",
    "eval_seconds",
    "wall_seconds",
    "flops",
    "validation_flops",
    "cost_seconds",
    "cost_flops",
    "peak_memory_bytes",
    "components_frozen",
    "components_total",
    "best_step",
    "eval_accuracy",
    "eval_loss",
    "eval_perplexity",
    "eval_exact_match",
    "test_accuracy",
    "test_loss",
    "test_perplexity",
    "test_exact_match",
];

impl RunRecord {
    /// Reads the folder of a run that has ended; `None` when it has not, or was interrupted.
    ///
    /// `validates` says that the run ends by its evaluations, so that their time is part of what it costs.
    ///
    /// # Errors
    ///
    /// When a file of it cannot be read.
    pub fn read(dir: &Path, folder: String, seed: u64, validates: bool) -> Result<Option<Self>> {
        let path = dir.join("summary.json");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let summary: Value =
            serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
        let ended = summary.get("ended").and_then(Value::as_str).unwrap_or_default().to_owned();
        if ended == "interrupted" {
            return Ok(None);
        }
        let number = |name: &str| summary.get(name).and_then(Value::as_f64);
        let mut numbers = Numbers::default();
        for name in TAKEN {
            numbers.set(name, number(name));
        }
        let saved =
            number("flops_without_freezing").zip(number("flops")).map(|(without, with)| without - with);
        numbers.set("flops_saved", saved);
        let per_step = number("train_seconds").zip(number("steps").filter(|steps| *steps > 0.0));
        numbers.set("seconds_per_step", per_step.map(|(seconds, steps)| seconds / steps));
        let evals = read_evals(&dir.join("evals.jsonl"), validates)?;
        Ok(Some(Self { seed, folder, ended, numbers, evals }))
    }

    /// Notes when the run first was at least as good as the target, at an evaluation on the way or at its end.
    pub(super) fn reach(&mut self, metric: Metric, target: f64) {
        let value = |point: &EvalPoint| match metric {
            Metric::Loss => Some(point.loss),
            Metric::Accuracy => point.accuracy,
        };
        let reached = self.evals.iter().find(|point| {
            value(point).is_some_and(|value| value == target || metric.is_better(value, target, 0.0))
        });
        self.numbers.set("seconds_to_target", reached.map(|point| point.seconds));
        self.numbers.set("steps_to_target", reached.map(|point| point.step));
        self.numbers.set("flops_to_target", reached.map(|point| point.flops));
    }
}

fn read_evals(path: &Path, validates: bool) -> Result<Vec<EvalPoint>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let point = |line: &str| -> Result<EvalPoint> {
        let line: Value = serde_json::from_str(line)?;
        let number = |name: &str| line.get(name).and_then(Value::as_f64);
        let needed = |name: &str| if validates { number(name).unwrap_or(0.0) } else { 0.0 };
        Ok(EvalPoint {
            step: number("step").context("a line without \"step\"")?,
            seconds: number("train_seconds").context("a line without \"train_seconds\"")?
                + needed("validation_seconds"),
            flops: number("flops").unwrap_or(f64::NAN) + needed("validation_flops"),
            loss: number("loss").unwrap_or(f64::NAN),
            accuracy: number("accuracy"),
        })
    };
    text.lines().map(|line| point(line).with_context(|| format!("{} is damaged", path.display()))).collect()
}
