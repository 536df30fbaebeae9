//! Evaluations of a run under way, and what they decide.

use std::time::Instant;

use anyhow::Result;

use super::recipe::Run;
use super::task::Part;
use crate::records::{EvalRecord, Evaluation};

impl Run<'_> {
    /// An evaluation between steps; whether the run is to end with it.
    pub(super) fn validate(&mut self) -> Result<bool> {
        let start = Instant::now();
        let Some(evaluation) = self.evaluate(Part::Eval)? else { return Ok(false) };
        let step = self.optimizer.steps();
        let verdict = self.stopping.as_mut().map(|stopping| stopping.take(step, &evaluation)).transpose()?;
        // Keeping the best weights is part of what it costs.
        let seconds = start.elapsed().as_secs_f64();
        self.validation_seconds += seconds;
        self.eval_seconds += seconds - evaluation.seconds;
        self.validations += 1;
        self.flops.validate(evaluation.flops);
        self.tell_evaluation(Some(evaluation), false, verdict.map(|verdict| verdict.is_best))?;
        self.progress.line(&format!("step {step}: eval {}", evaluation.text()));
        Ok(verdict.is_some_and(|verdict| verdict.stop))
    }

    /// With early stopping, lets the last weights be the best ones, too, with the averages of what still cools.
    pub(super) fn validate_last(&mut self) -> Result<()> {
        let step = self.optimizer.steps();
        if self.stopping.as_ref().is_some_and(|stopping| !stopping.has_seen(step)) {
            self.optimizer.apply_averages()?;
            self.validate()?;
        }
        Ok(())
    }

    /// With early stopping, ends the run with the weights of its best evaluation.
    pub(super) fn restore_best(&mut self) -> Result<()> {
        let Some(stopping) = &mut self.stopping else { return Ok(()) };
        if let Some(step) = stopping.restore()? {
            if let Some(lora) = &self.lora {
                lora.unmerge(self.task.as_mut())?;
            }
            self.progress.line(&format!("the weights of step {step}, the best evaluation, are put back"));
        }
        Ok(())
    }

    /// A line of `evals.jsonl`.
    pub(super) fn tell_evaluation(
        &mut self,
        evaluation: Option<Evaluation>,
        is_final: bool,
        best: Option<bool>,
    ) -> Result<()> {
        let Some(evaluation) = evaluation else { return Ok(()) };
        self.evals.push(&EvalRecord {
            step: self.optimizer.steps(),
            is_final,
            best,
            train_seconds: self.seconds.as_secs_f64(),
            validation_seconds: self.validation_seconds,
            wall_seconds: self.loop_seconds(),
            flops: self.flops.total(),
            validation_flops: self.flops.validation(),
            evaluation,
        })
    }

    /// Measures the model on a part of the data, when the run has such a part.
    pub(super) fn evaluate(&mut self, part: Part) -> Result<Option<Evaluation>> {
        let evaluation = self.task.evaluate(part, self.config.training.eval_batch_size)?;
        self.eval_seconds += evaluation.map_or(0.0, |evaluation| evaluation.seconds);
        if let (Part::Eval, Some(tensorboard), Some(evaluation)) = (part, &self.tensorboard, &evaluation) {
            tensorboard.evaluation(self.optimizer.steps(), evaluation.loss, evaluation.accuracy);
        }
        Ok(evaluation)
    }
}
