//! `summary.json`, and the table that a run ends with.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::evaluate::Evaluation;
use super::progress::duration;

/// What a run did and reached.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Why it ended: `all-frozen`, `enough-frozen` (the share `stop_at`), `all-steps` or `interrupted`.
    pub ended: &'static str,
    /// Wall seconds from the start to the saved model.
    pub wall_seconds: f64,
    /// Seconds in training steps, freezing included, evaluations left out.
    pub train_seconds: f64,
    /// Optimizer steps that were run.
    pub steps: u64,
    /// Optimizer steps that were planned.
    pub planned_steps: u64,
    /// Training examples a second of training.
    pub examples_per_second: f64,
    /// Components frozen at the end.
    pub components_frozen: usize,
    /// All components.
    pub components_total: usize,
    /// The step of the first freeze.
    pub first_freeze: Option<u64>,
    /// The step of the last freeze.
    pub last_freeze: Option<u64>,
    /// The mean training loss of the last steps.
    pub final_train_loss: Option<f64>,
    /// Sentences of the training data that were cut at `max_tokens`.
    pub truncated: usize,
    /// The loss on the examples for evaluation.
    pub eval_loss: Option<f64>,
    /// The accuracy on the examples for evaluation.
    pub eval_accuracy: Option<f64>,
    /// The loss on the test examples.
    pub test_loss: Option<f64>,
    /// The accuracy on the test examples.
    pub test_accuracy: Option<f64>,
    /// Seconds in evaluations.
    pub eval_seconds: f64,
    /// The largest resident size of the process, in bytes.
    pub peak_memory_bytes: Option<u64>,
    /// Bytes of optimizer state at the end.
    pub optimizer_state_bytes: Option<u64>,
    /// Where the model was trained.
    pub device: String,
    /// The run's folder.
    #[serde(skip)]
    pub folder: PathBuf,
}

impl Summary {
    pub(super) fn take_eval(&mut self, evaluation: Option<Evaluation>) {
        self.eval_loss = evaluation.map(|evaluation| evaluation.loss);
        self.eval_accuracy = evaluation.map(|evaluation| evaluation.accuracy);
    }

    pub(super) fn take_test(&mut self, evaluation: Option<Evaluation>) {
        self.test_loss = evaluation.map(|evaluation| evaluation.loss);
        self.test_accuracy = evaluation.map(|evaluation| evaluation.accuracy);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        let scores = |loss: Option<f64>, accuracy: Option<f64>| {
            or_dash(
                loss.zip(accuracy).map(|(loss, accuracy)| format!("accuracy {accuracy:.4}, loss {loss:.4}")),
            )
        };
        let steps = or_dash(
            self.first_freeze.zip(self.last_freeze).map(|(first, last)| format!("{first} to {last}")),
        );
        let mebibytes = |bytes: Option<u64>| or_dash(bytes.map(|bytes| format!("{} MiB", bytes >> 20)));
        let rows = [
            ("ended", self.ended.replace('-', " ")),
            ("steps", format!("{} of {} planned", self.steps, self.planned_steps)),
            ("components frozen", format!("{} of {}", self.components_frozen, self.components_total)),
            ("frozen at steps", steps),
            ("train loss", or_dash(self.final_train_loss.map(|loss| format!("{loss:.4}")))),
            ("eval", scores(self.eval_loss, self.eval_accuracy)),
            ("test", scores(self.test_loss, self.test_accuracy)),
            ("examples a second", format!("{:.1}", self.examples_per_second)),
            ("training time", duration(self.train_seconds)),
            ("evaluation time", duration(self.eval_seconds)),
            ("wall time", duration(self.wall_seconds)),
            ("peak memory", mebibytes(self.peak_memory_bytes)),
            ("optimizer state at the end", mebibytes(self.optimizer_state_bytes)),
            ("device", self.device.clone()),
            ("results", self.folder.display().to_string()),
        ];
        for (name, value) in rows {
            writeln!(f, "{name:<27} {value}")?;
        }
        Ok(())
    }
}
