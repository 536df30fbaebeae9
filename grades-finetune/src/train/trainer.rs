//! The trainer: the loop over steps, evaluations and checkpoints, and the end of a run.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use grades::tracker::StepReport;

use super::checkpointer::Checkpointer;
use super::evaluator::{Evaluator, FinalEvaluation, Validation};
use super::leader::Leader;
use super::learner::Learner;
use super::loss_monitor::{LossMonitor, ReadLosses};
use super::lr_schedule::LrSchedule;
use super::ranks::Order;
use super::room;
use super::saver::{Rescue, in_checkpoint, kind_of};
use super::setup::Setup;
use super::step::{StepOptions, count_work, train_step};
use super::step_loader::{StepBatch, StepLoader};
use super::summary::{Finished, RunResult};
use crate::cache::ActivationCache;
use crate::config::RunConfig;
use crate::log::{Event, Loggers, ProgressState};
use crate::records::{Evaluation, StopReason, Summary};
use crate::run::{Interrupt, cpu_seconds};
use crate::state::{Counters, FlopMeter, TrainState};

/// A run under way.
pub(super) struct Trainer<'a> {
    options: StepOptions,
    learner: Learner,
    schedule: LrSchedule,
    loader: StepLoader,
    counters: Counters,
    meter: FlopMeter,
    monitor: LossMonitor,
    evaluator: Evaluator,
    checkpointer: Checkpointer,
    loggers: Loggers<'a>,
    leader: Leader,
    /// Why the training ended; `None` while it goes on.
    ended: Option<StopReason>,
}

impl<'a> Trainer<'a> {
    /// Makes the trainer of a run that starts or resumes with this state.
    pub(super) fn new(
        config: &RunConfig,
        setup: Setup,
        state: TrainState,
        cache: ActivationCache,
        checkpointer: Checkpointer,
        loggers: Loggers<'a>,
    ) -> Self {
        let model_bytes = room::model(&setup);
        let Setup { task, adapter, optimizer, schedule, loader, evaluator, meter, ranks } = setup;
        let monitor = LossMonitor::new(config.guard, state.loss_monitor, task.store().device());
        Self {
            options: StepOptions::new(config),
            learner: Learner { task, adapter, optimizer, cache, model_bytes },
            schedule,
            loader,
            counters: state.counters,
            meter,
            monitor,
            evaluator,
            checkpointer,
            loggers,
            leader: Leader::new(ranks),
            ended: state.ended,
        }
    }

    /// Has the model, the cache and the count of FLOPs follow the freezes and thaws.
    fn follow_freezes(&mut self) {
        let note = self.learner.follow_freezes(&self.loader);
        note.iter().for_each(|note| self.loggers.note(note));
        self.meter.change(self.learner.task.matmuls());
    }

    /// Trains until a reason to stop.
    pub(super) fn fit(&mut self, interrupt: &Interrupt) -> Result<StopReason> {
        self.counters.clock.training_loop.start_at(Instant::now());
        self.follow_freezes();
        // A run that was interrupted after its last step resumes with the evaluations that follow.
        let reason = match self.ended {
            Some(reason) => reason,
            None => self.run_steps(interrupt)?,
        };
        if reason.is_premature() {
            return Ok(reason);
        }
        self.flush_statistics()?;
        self.ended = Some(reason);
        match self.validate_last(interrupt)? {
            Some(StopReason::Interrupted) => Ok(StopReason::Interrupted),
            _ => Ok(reason),
        }
    }

    /// Runs the steps, with the evaluations and the checkpoints between them.
    fn run_steps(&mut self, interrupt: &Interrupt) -> Result<StopReason> {
        // A run that ended right after a step resumes with the evaluation that was due then.
        if std::mem::take(&mut self.counters.evaluation_due)
            && let Some(reason) = self.validate(interrupt)?
        {
            return Ok(reason);
        }
        while let Some(batch) = self.loader.next() {
            let Some(report) = self.train_step(&batch, interrupt)? else {
                return Ok(StopReason::Interrupted);
            };
            let evaluation_due = self.evaluator.is_due(report.step);
            if self.monitor.gives_up() {
                self.counters.evaluation_due = evaluation_due;
                return Ok(StopReason::NonFinite);
            }
            if report.should_stop {
                let all = report.frozen == report.total;
                return Ok(if all { StopReason::AllFrozen } else { StopReason::EnoughFrozen });
            }
            if interrupt.is_requested() {
                self.counters.evaluation_due = evaluation_due;
                return Ok(StopReason::Interrupted);
            }
            if evaluation_due && let Some(reason) = self.validate(interrupt)? {
                return Ok(reason);
            }
            if self.checkpointer.is_due(report.step) {
                self.save_checkpoint()?;
            }
            let warnings = self.checkpointer.poll().into_iter().chain(self.learner.cache.warning());
            self.warn(warnings.collect::<Vec<_>>());
        }
        Ok(StopReason::AllSteps)
    }

    /// Trains one optimizer step; returns `None` when the user asks for an end before its last batch has begun. The run is
    /// then as before the step.
    fn train_step(&mut self, batch: &StepBatch, interrupt: &Interrupt) -> Result<Option<StepReport>> {
        let (start, cpu) = (Instant::now(), cpu_seconds());
        self.leader.order(Order::Step, interrupt)?;
        let step = self.learner.steps() + 1;
        let learning_rate = self.schedule.at(step);
        let Learner { task, optimizer, cache, .. } = &mut self.learner;
        let batches = batch.load(task.as_ref(), cache)?;
        let stop = || self.leader.may_stop_within_a_step() && interrupt.is_requested();
        let (options, ranks) = (self.options, self.leader.ranks());
        let outcome = train_step(task.as_ref(), optimizer, &batches, learning_rate, options, &stop, ranks)?;
        let Some(outcome) = outcome else { return Ok(None) };
        let spent = (start.elapsed(), cpu_seconds() - cpu);
        let work = count_work(&batches, &self.meter, &mut self.counters, spent);
        self.handle_report(&outcome.report)?;

        let record = outcome.record(batch.epoch, learning_rate, work, self.learner.memory());
        let components = record.components;
        let losses = self.monitor.add(record, outcome.loss)?;
        self.handle_losses(losses);
        let progress = ProgressState::new(step, learning_rate, components, &self.counters);
        self.loggers.log(&Event::Progress(&progress));
        Ok(Some(outcome.report))
    }

    /// Logs a report of the optimizer, merges adapters, and counts what froze.
    fn handle_report(&mut self, report: &StepReport) -> Result<()> {
        let layers = self.learner.merge_frozen(report)?;
        if !layers.is_empty() {
            self.loggers.log(&Event::Merged { step: report.step, layers: &layers });
        }
        if !report.events.is_empty() {
            self.follow_freezes();
        }
        for event in report.events.iter().filter(|event| event.is_freeze()) {
            self.counters.freezes.add(event.step);
        }
        self.loggers.log(&Event::Report(report));
        Ok(())
    }

    /// Reads the statistics of the last step where they are still on the device. With the averages this is
    /// `FreezingOptimizer::finish` in parts: the evaluations, checkpoints and best weights in between need the optimizer.
    fn flush_statistics(&mut self) -> Result<()> {
        self.learner.optimizer.flush()?.map_or(Ok(()), |report| self.handle_report(&report))
    }

    /// Logs the steps whose losses were read.
    fn handle_losses(&mut self, losses: ReadLosses) {
        for record in &losses.records {
            self.loggers.log(&Event::Step(record));
        }
        self.counters.last_loss = losses.mean.or(self.counters.last_loss);
        self.warn(losses.warnings);
    }

    /// Reads and logs the losses that are still on the device.
    fn read_losses(&mut self) -> Result<()> {
        let losses = self.monitor.read()?;
        self.handle_losses(losses);
        Ok(())
    }

    /// Evaluates the model between two steps; returns the reason for which the run must end then, if there is one. An
    /// evaluation that the user's end cuts short is due again.
    fn validate(&mut self, interrupt: &Interrupt) -> Result<Option<StopReason>> {
        let (step, stop) = (self.learner.steps(), || interrupt.is_requested());
        let model = self.learner.model();
        match self.evaluator.validate(model, step, &mut self.counters, &stop)? {
            Validation::NoData => Ok(None),
            Validation::Stopped => {
                self.counters.evaluation_due = true;
                Ok(Some(StopReason::Interrupted))
            }
            Validation::Done { record, stop } => {
                self.loggers.log(&Event::Evaluation(&record));
                Ok(stop.then_some(StopReason::EarlyStopped))
            }
        }
    }

    /// Evaluates, with early stopping, the last weights, which may be the best, with the means of those that cool.
    fn validate_last(&mut self, interrupt: &Interrupt) -> Result<Option<StopReason>> {
        if !self.evaluator.needs_last(self.learner.steps()) {
            return Ok(None);
        }
        self.learner.optimizer.apply_averages()?;
        self.validate(interrupt)
    }

    /// Starts to write a checkpoint.
    fn save_checkpoint(&mut self) -> Result<()> {
        self.flush_statistics()?;
        self.read_losses()?;
        let (device, best) = (self.learner.task.store().device(), self.evaluator.best_weights());
        let others = self.leader.begin_checkpoint(device)?;
        let warnings =
            self.checkpointer.save(self.state(), &mut self.learner.optimizer, device, best, others)?;
        self.warn(warnings);
        Ok(())
    }

    /// Returns the state of the run.
    fn state(&self) -> TrainState {
        TrainState {
            step: self.learner.steps(),
            ended: self.ended,
            counters: self.counters.stopped(),
            loss_monitor: self.monitor.state().clone(),
            early_stopping: self.evaluator.state(),
            cache: self.learner.cache.eras().to_vec(),
        }
    }

    /// Ends the run: writes the last checkpoint, saves and evaluates the model.
    ///
    /// # Errors
    ///
    /// A [`NonFiniteError`](super::NonFiniteError) when the run stopped because of one; the system's error when the model
    /// cannot be saved.
    pub(super) fn finish(
        mut self,
        mut reason: StopReason,
        run: &Path,
        interrupt: &Interrupt,
    ) -> Result<Finished> {
        if reason == StopReason::Interrupted {
            self.loggers.log(&Event::Interrupted);
        }
        self.read_losses()?;
        if reason.is_premature() {
            self.save_checkpoint()?;
        }
        self.wait_for_checkpoint();
        self.loggers.log(&Event::Stopped(reason));
        if reason == StopReason::NonFinite {
            return Err(self.monitor.error(self.learner.steps(), self.checkpointer.last()).into());
        }
        if reason != StopReason::Interrupted {
            self.set_final_weights()?;
        }
        let rescue = self.save_model(reason, run, interrupt)?;
        let FinalEvaluation { records, stopped } = self.evaluate_final(reason, interrupt)?;
        if stopped && reason != StopReason::Interrupted {
            reason = StopReason::Interrupted;
            self.loggers.log(&Event::Interrupted);
            self.save_checkpoint()?;
            self.wait_for_checkpoint();
        }
        let evaluations = records.map(|record| record.map(|record| record.evaluation));
        Ok(Finished { summary: self.summary(reason, evaluations), warnings: self.final_warnings(), rescue })
    }

    fn wait_for_checkpoint(&mut self) {
        let warning = self.checkpointer.wait();
        self.warn(warning);
    }

    /// Sets the weights that the run ends with: those of the best evaluation, or the means of those that cool.
    fn set_final_weights(&mut self) -> Result<()> {
        if !self.evaluator.restores_best() {
            self.learner.optimizer.apply_averages()?;
        } else if let Some(step) = self.evaluator.restore_best()? {
            self.learner.follow_restored_weights()?;
            self.loggers.note(&format!("the weights of step {step}, the best evaluation, are put back"));
        }
        Ok(())
    }

    /// Saves the adapter, or the whole model where none trains. Where that fails, what was trained goes into a checkpoint or to
    /// another file system, or the run waits for room.
    fn save_model(
        &mut self,
        reason: StopReason,
        run: &Path,
        interrupt: &Interrupt,
    ) -> Result<Option<Rescue>> {
        let Err(error) = self.learner.saver(run).save() else { return Ok(None) };
        let step = self.learner.steps();
        if kind_of(&error).is_some() && !self.checkpointer.has(step) && reason != StopReason::Interrupted {
            self.save_checkpoint()?;
            self.wait_for_checkpoint();
        }
        if let Some(checkpoint) = self.checkpointer.last().filter(|_| self.checkpointer.has(step)) {
            let saved = in_checkpoint(&error, checkpoint, run);
            if reason != StopReason::Interrupted {
                return Err(saved);
            }
            self.loggers.warn(&saved.to_string());
            return Ok(None);
        }
        let saver = self.learner.saver(run);
        match saver.rescue(&error) {
            Some(rescue) => Ok(Some(rescue)),
            None => saver.wait(error, interrupt, &mut self.loggers).map(|()| None),
        }
    }

    /// Evaluates the final model, and logs the evaluation on `data.eval`. An interrupted run is evaluated only as far as that
    /// takes a moment.
    fn evaluate_final(&mut self, reason: StopReason, interrupt: &Interrupt) -> Result<FinalEvaluation> {
        let interrupted = reason == StopReason::Interrupted;
        let step = self.learner.steps();
        let model = self.learner.model();
        let done = self.evaluator.evaluate_final(model, step, &mut self.counters, reason, interrupt)?;
        // An evaluation that is made once more is logged then.
        if let (Some(record), true) = (&done.records[0], interrupted || !done.stopped) {
            self.loggers.log(&Event::Evaluation(&record.without_classes()));
        }
        Ok(done)
    }

    /// Sums up the run.
    fn summary(&self, reason: StopReason, evaluations: [Option<Evaluation>; 2]) -> Summary {
        let scores = evaluations
            .each_ref()
            .map(|evaluation| evaluation.as_ref().map(Evaluation::scores).unwrap_or_default());
        RunResult {
            reason,
            counters: &self.counters,
            losses: self.monitor.state(),
            task: self.learner.task.as_ref(),
            optimizer: &self.learner.optimizer,
            cache: self.learner.cache.most_bytes(),
            planned_steps: self.loader.steps(),
            scores,
            classes: evaluations.map(|evaluation| evaluation.and_then(|evaluation| evaluation.classes)),
            evaluator: &self.evaluator,
        }
        .summarize()
    }

    /// Collects the warnings that a run ends with.
    fn final_warnings(&self) -> Vec<String> {
        let logs = self.checkpointer.incomplete_logs();
        let loggers = self.loggers.errors().iter().cloned();
        loggers.chain(logs).chain(self.monitor.final_warning()).collect()
    }

    fn warn(&mut self, warnings: impl IntoIterator<Item = String>) {
        for warning in warnings {
            self.loggers.warn(&warning);
        }
    }
}
