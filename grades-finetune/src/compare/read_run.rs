//! Reads the result of one run from its folder.

use std::path::Path;

use anyhow::{Result, bail};

use crate::records::{
    EVALS, Ending, EvalRecord, Numbers, Quantity, RunResult, StopReason, Summary, Target, read_lines,
};

/// A run that has ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FinishedRun {
    /// Its result.
    pub(super) result: RunResult,
    /// Its evaluations on `data.eval`, in order.
    evaluations: Vec<EvalRecord>,
    /// True where evaluations end it, so that they are part of its cost.
    validates: bool,
}

impl FinishedRun {
    /// Reads the folder of a run that has ended; `None` when it has not, or was interrupted.
    ///
    /// `validates` says that the run ends by its evaluations, so that their time is part of what it costs.
    ///
    /// # Errors
    ///
    /// When a file of it cannot be read.
    pub(super) fn read(dir: &Path, folder: String, seed: u64, validates: bool) -> Result<Option<Self>> {
        let Some(summary) = Summary::read(dir)? else { return Ok(None) };
        if summary.ended == StopReason::Interrupted {
            return Ok(None);
        }
        let path = dir.join(EVALS);
        if !path.exists() {
            bail!("{} does not exist", path.display());
        }
        let evaluations = read_lines(&path, Ending::Whole)?;
        let (ended, numbers) = (Some(summary.ended), Numbers::of(&summary));
        let result = RunResult { seed: Some(seed), folder, ended, numbers };
        Ok(Some(Self { result, evaluations, validates }))
    }

    /// Returns a number; `None` when it was not measured.
    pub(super) fn number(&self, quantity: Quantity) -> Option<f64> {
        self.result.numbers.get(quantity)
    }

    /// Sets when the run first was at least as good as the target, at an evaluation on the way or at its end.
    pub(super) fn reach(&mut self, target: Target) {
        let Target { metric, value: wanted } = target;
        let reached = self.evaluations.iter().find(|record| {
            metric
                .of(&record.evaluation)
                .is_some_and(|value| value == wanted || metric.is_better(value, wanted, 0.0))
        });
        // A user pays for evaluations only where they end the run.
        let seconds = reached.map(|record| {
            record.train_seconds + if self.validates { record.validation_seconds } else { 0.0 }
        });
        let flops = reached.map(|record| {
            record.flops as f64 + if self.validates { record.validation_flops as f64 } else { 0.0 }
        });
        let numbers = &mut self.result.numbers;
        numbers.set(Quantity::SecondsToTarget, seconds);
        numbers.set(Quantity::StepsToTarget, reached.map(|record| record.step as f64));
        numbers.set(Quantity::FlopsToTarget, flops);
    }
}
