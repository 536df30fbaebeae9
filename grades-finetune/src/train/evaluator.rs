//! Evaluates the model during training and at its end, and decides by early stopping.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tch::Tensor;

use super::early_stopping::EarlyStopping;
use crate::cache::ActivationCache;
use crate::config::RunConfig;
use crate::records::{BestStep, EvalRecord, Evaluation, StopReason};
use crate::run::Interrupt;
use crate::state::{Counters, EarlyStoppingState};
use crate::tasks::{Evaluated, Split, Task};

/// The evaluations of a run.
pub(super) struct Evaluator {
    /// The steps from one evaluation to the next; `None` evaluates at the end only.
    every: Option<u64>,
    /// The last planned step, after which the final evaluation follows anyway.
    planned_steps: u64,
    batch_size: usize,
    stopping: Option<EarlyStopping>,
}

/// An evaluation between two steps.
pub(super) enum Validation {
    /// It came to its end.
    Done {
        /// Its record.
        record: Box<EvalRecord>,
        /// Whether the run must end.
        stop: bool,
    },
    /// The run has no evaluation data.
    NoData,
    /// It was stopped before its end, and has changed nothing.
    Stopped,
}

/// The time that the evaluations of an interrupted run may take.
const MOMENT: Duration = Duration::from_secs(2);

/// The evaluations after the last step.
#[derive(Default)]
pub(super) struct FinalEvaluation {
    /// Those on `data.eval` and `data.test`; `None` without such data, or when they were stopped before.
    pub(crate) records: [Option<EvalRecord>; 2],
    /// Whether one was stopped before its end.
    pub(crate) stopped: bool,
}

impl Evaluator {
    /// Makes the evaluator of a run.
    ///
    /// # Errors
    ///
    /// When early stopping needs a metric that evaluations do not measure.
    pub(super) fn new(
        config: &RunConfig,
        task: &dyn Task,
        steps_per_epoch: u64,
        planned_steps: u64,
    ) -> Result<Self> {
        let metrics = &task.info().metrics;
        if let Some(stopping) = &config.early_stopping
            && !metrics.contains(&stopping.metric)
        {
            let known: Vec<String> = metrics.iter().map(|metric| format!("\"{metric}\"")).collect();
            let known = match known.split_last() {
                Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
                _ => known.concat(),
            };
            bail!(
                "early_stopping.metric = \"{}\": evaluations of these examples give none; choose {known}",
                stopping.metric
            );
        }
        Ok(Self {
            every: config.training.eval_every.steps(steps_per_epoch),
            planned_steps,
            batch_size: config.training.eval_batch_size,
            stopping: config.early_stopping.map(|stopping| EarlyStopping::new(stopping, task.store())),
        })
    }

    /// Returns whether there are evaluations between steps.
    pub(super) fn repeats(&self) -> bool {
        self.every.is_some()
    }

    /// Returns whether an evaluation is due between this step and the next.
    pub(super) fn is_due(&self, step: u64) -> bool {
        self.every.is_some_and(|every| step.is_multiple_of(every)) && step < self.planned_steps
    }

    /// Returns whether an evaluation was due after one of these steps.
    pub(super) fn was_due(&self, mut steps: Range<u64>) -> bool {
        steps.any(|step| step > 0 && self.is_due(step))
    }

    /// Stores the outputs of frozen blocks as an evaluation does.
    pub(super) fn fill_cache(&self, task: &dyn Task, cache: &mut ActivationCache) -> Result<()> {
        task.fill_cache(self.batch_size, cache)
    }

    /// Returns whether early stopping has seen the weights after this step.
    pub(super) fn has_seen(&self, step: u64) -> bool {
        self.stopping.as_ref().is_some_and(|stopping| stopping.has_seen(step))
    }

    /// Returns whether early stopping has not seen the weights after this step, which may be the best.
    pub(super) fn needs_last(&self, step: u64) -> bool {
        self.stopping.as_ref().is_some_and(|stopping| !stopping.has_seen(step))
    }

    /// Evaluates the model after a step; `halt` is asked before each batch.
    pub(super) fn validate(
        &mut self,
        (task, cache): (&dyn Task, &mut ActivationCache),
        step: u64,
        counters: &mut Counters,
        halt: &dyn Fn() -> bool,
    ) -> Result<Validation> {
        let start = Instant::now();
        let evaluation = match task.evaluate(Split::Eval, self.batch_size, cache, halt)? {
            Evaluated::Done(evaluation) => *evaluation,
            Evaluated::NoData => return Ok(Validation::NoData),
            Evaluated::Stopped => return Ok(Validation::Stopped),
        };
        let verdict = self.stopping.as_mut().map(|stopping| stopping.add(step, &evaluation)).transpose()?;
        // Copying the best weights is part of the cost.
        let seconds = start.elapsed().as_secs_f64();
        counters.clock.validation_seconds += seconds;
        counters.clock.eval_seconds += seconds;
        counters.totals.add_validation(evaluation.flops);
        let best = verdict.map(|verdict| verdict.is_best);
        let record = Box::new(record(evaluation, step, counters, best, false));
        Ok(Validation::Done { record, stop: verdict.is_some_and(|verdict| verdict.stop) })
    }

    /// Evaluates the final model on `data.eval` and `data.test`; those of an interrupted run take a moment
    /// at most, others end when the user asks for it.
    pub(super) fn evaluate_final(
        &self,
        (task, cache): (&dyn Task, &mut ActivationCache),
        step: u64,
        counters: &mut Counters,
        reason: StopReason,
        interrupt: &Interrupt,
    ) -> Result<FinalEvaluation> {
        let (interrupted, limit) = (reason == StopReason::Interrupted, Instant::now() + MOMENT);
        let stop = || if interrupted { Instant::now() >= limit } else { interrupt.is_requested() };
        let mut done = FinalEvaluation::default();
        for (split, result) in [Split::Eval, Split::Test].into_iter().zip(&mut done.records) {
            match task.evaluate(split, self.batch_size, cache, &stop)? {
                Evaluated::Done(evaluation) => {
                    counters.clock.eval_seconds += evaluation.seconds;
                    *result = Some(record(*evaluation, step, counters, None, true));
                }
                Evaluated::NoData => {}
                Evaluated::Stopped => {
                    done.stopped = true;
                    break;
                }
            }
        }
        Ok(done)
    }

    /// Returns whether evaluations are part of the cost of training in this way.
    pub(super) fn is_part_of_the_cost(&self) -> bool {
        self.stopping.is_some()
    }

    /// Returns whether the run ends with the weights of its best evaluation.
    pub(super) fn restores_best(&self) -> bool {
        self.stopping.as_ref().is_some_and(EarlyStopping::restores_best)
    }

    /// Restores the weights of the best evaluation; returns their step, unless the last weights are the best.
    pub(super) fn restore_best(&mut self) -> Result<Option<u64>> {
        self.stopping.as_mut().map_or(Ok(None), EarlyStopping::restore_best)
    }

    /// Returns the best and the restored step.
    pub(super) fn best_step(&self) -> BestStep {
        let stopping = self.stopping.as_ref();
        BestStep {
            best_step: stopping.and_then(EarlyStopping::best_step),
            restored_step: stopping.and_then(EarlyStopping::restored_step),
        }
    }

    /// Returns the state of early stopping.
    pub(super) fn state(&self) -> Option<EarlyStoppingState> {
        self.stopping.as_ref().map(EarlyStopping::state)
    }

    /// Returns the best weights so far.
    pub(super) fn best_weights(&self) -> Vec<(String, Tensor)> {
        self.stopping.as_ref().map(EarlyStopping::best_weights).unwrap_or_default()
    }

    /// Restores the state of early stopping; returns the tensors to read the best weights into, if there are any.
    pub(super) fn restore(&mut self, state: Option<&EarlyStoppingState>) -> Result<Vec<(String, Tensor)>> {
        match (&mut self.stopping, state) {
            (Some(stopping), Some(state)) => stopping.restore(state),
            _ => Ok(Vec::new()),
        }
    }
}

/// Makes the record of an evaluation.
fn record(
    mut evaluation: Evaluation,
    step: u64,
    counters: &Counters,
    best: Option<bool>,
    is_final: bool,
) -> EvalRecord {
    let Counters { clock, totals, .. } = counters;
    if !is_final {
        // Only the results of the end are written.
        evaluation.classes = None;
    }
    EvalRecord {
        step,
        is_final,
        best,
        train_seconds: clock.train_seconds(),
        validation_seconds: clock.validation_seconds,
        wall_seconds: clock.training_loop.seconds(),
        flops: totals.flops,
        validation_flops: totals.validation_flops,
        evaluation,
    }
}
