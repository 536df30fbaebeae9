//! The trainer: the loop over steps, evaluations and checkpoints, and the end of a run.

use std::time::Instant;

use anyhow::{Context, Result};
use grades::tracker::StepReport;

use super::checkpointer::Checkpointer;
use super::evaluator::Evaluator;
use super::loss_monitor::{LossMonitor, ReadLosses};
use super::lr_schedule::LrSchedule;
use super::refill::{Past, refill};
use super::setup::Setup;
use super::step::{StepOptions, StepOutcome, train_step};
use super::step_loader::{StepBatch, StepLoader};
use super::summary::RunResult;
use crate::cache::ActivationCache;
use crate::config::RunConfig;
use crate::log::{Event, Loggers, ProgressState};
use crate::records::{ComponentCounts, Scores, StepMemory, StepRecord, StepWork, StopReason, Summary};
use crate::run::{Interrupt, RunFolder, cpu_seconds, resident_memory};
use crate::state::{CacheEra, Counters, FlopMeter, TrainState};
use crate::tasks::{Optimizer, Split, Task, TrainedAdapter};

/// A run under way.
pub(super) struct Trainer<'a> {
    options: StepOptions,
    task: Box<dyn Task>,
    adapter: Option<TrainedAdapter>,
    optimizer: Optimizer,
    schedule: LrSchedule,
    loader: StepLoader,
    counters: Counters,
    meter: FlopMeter,
    cache: ActivationCache,
    monitor: LossMonitor,
    evaluator: Evaluator,
    checkpointer: Checkpointer,
    loggers: Loggers<'a>,
}

impl<'a> Trainer<'a> {
    /// Makes the trainer of a run that starts or resumes with this state.
    pub(super) fn new(
        config: &RunConfig,
        setup: Setup,
        state: TrainState,
        folder: &RunFolder,
        checkpointer: Checkpointer,
        loggers: Loggers<'a>,
    ) -> Result<Self> {
        let Setup { task, adapter, optimizer, schedule, loader, evaluator, meter } = setup;
        let monitor = LossMonitor::new(config.guard, state.loss_monitor, task.store().device());
        let layout = task.cache_layout(evaluator.repeats());
        let mut trainer = Self {
            options: StepOptions::new(config),
            task,
            adapter,
            optimizer,
            schedule,
            loader,
            counters: state.counters,
            meter,
            cache: ActivationCache::new(config.cache, layout, folder.path()),
            monitor,
            evaluator,
            checkpointer,
            loggers,
        };
        trainer.restore_cache(&state.cache)?;
        Ok(trainer)
    }

    /// Restores the cache of a resumed run, or starts it where the lowest blocks never train.
    fn restore_cache(&mut self, eras: &[CacheEra]) -> Result<()> {
        let evaluation_due = self.counters.evaluation_due;
        let past = Past { eras, steps: self.optimizer.steps(), evaluation_due };
        refill(&mut self.cache, self.task.as_ref(), self.loader.clone(), &self.evaluator, &past)?;
        self.follow_freezes();
        self.meter.change(self.task.matmuls());
        Ok(())
    }

    /// Has the model and the cache follow the freezes and thaws.
    fn follow_freezes(&mut self) {
        self.task.set_input_detached(self.optimizer.input_is_frozen());
        let again = self.loader.begins_another_epoch();
        if let Some(note) = self.cache.update(self.task.model(), self.optimizer.steps(), again) {
            self.loggers.note(&note);
        }
    }

    /// Trains until a reason to stop.
    pub(super) fn fit(&mut self, interrupt: &Interrupt) -> Result<StopReason> {
        self.counters.clock.training_loop.start_at(Instant::now());
        // A run that ended right after a step resumes with the evaluation that was due then.
        if std::mem::take(&mut self.counters.evaluation_due) && self.validate()? {
            return Ok(StopReason::EarlyStopped);
        }
        while let Some(batch) = self.loader.next() {
            let report = self.train_step(&batch)?;
            let evaluation_due = self.evaluator.is_due(report.step);
            if self.monitor.gives_up() {
                self.counters.evaluation_due = evaluation_due;
                return Ok(StopReason::NonFinite);
            }
            if report.should_stop {
                self.validate_last()?;
                let all = report.frozen == report.total;
                return Ok(if all { StopReason::AllFrozen } else { StopReason::EnoughFrozen });
            }
            if interrupt.is_requested() {
                self.loggers.log(&Event::Interrupted);
                self.counters.evaluation_due = evaluation_due;
                return Ok(StopReason::Interrupted);
            }
            if evaluation_due && self.validate()? {
                return Ok(StopReason::EarlyStopped);
            }
            if self.checkpointer.is_due(report.step) {
                self.save_checkpoint()?;
            }
            let warnings = self.checkpointer.poll();
            self.warn(warnings);
            let warning = self.cache.warning();
            self.warn(warning);
        }
        self.validate_last()?;
        Ok(StopReason::AllSteps)
    }

    /// Trains one optimizer step.
    fn train_step(&mut self, batch: &StepBatch) -> Result<StepReport> {
        let (start, cpu) = (Instant::now(), cpu_seconds());
        let step = self.optimizer.steps() + 1;
        let learning_rate = self.schedule.at(step);
        let batches = batch.batches.iter().map(|indices| self.task.batch(indices, &mut self.cache));
        let batches = batches.collect::<Result<Vec<_>>>()?;
        let StepOutcome { report, loss, grad_norm, skipped } =
            train_step(self.task.as_ref(), &mut self.optimizer, &batches, learning_rate, self.options)?;
        let totals = &mut self.counters.totals;
        let flops = batches.iter().map(|batch| self.meter.add(batch.shape, batch.cache_flops, totals)).sum();
        let cache_flops = batches.iter().map(|batch| batch.cache_flops).sum();
        let examples = batches.iter().map(|batch| batch.examples).sum();
        let tokens = batches.iter().map(|batch| batch.tokens).sum();
        totals.examples += examples as u64;
        totals.tokens += tokens as u64;
        self.counters.clock.add_step(start.elapsed(), cpu_seconds() - cpu);
        self.handle_report(&report)?;

        let seconds = self.counters.clock.train_seconds();
        let components = ComponentCounts { cooling: report.cooling, frozen: report.frozen };
        let stored = self.cache.bytes();
        let memory = StepMemory {
            memory_bytes: resident_memory(),
            training_bytes: self.optimizer.memory().total(),
            cache_bytes: stored.memory + stored.file,
        };
        let record = StepRecord {
            step,
            epoch: batch.epoch,
            loss: f64::NAN,
            learning_rate,
            grad_norm,
            work: StepWork { examples, tokens, flops, cache_flops, seconds },
            components,
            memory,
            skipped,
        };
        let losses = self.monitor.add(record, loss)?;
        self.handle_losses(losses);
        self.loggers.log(&Event::Progress(&ProgressState {
            step,
            loss: self.counters.last_loss,
            learning_rate,
            components,
            examples_per_second: self.counters.totals.examples as f64 / seconds,
            seconds,
        }));
        Ok(report)
    }

    /// Logs a report of the optimizer, merges adapters, and counts what froze.
    fn handle_report(&mut self, report: &StepReport) -> Result<()> {
        if let Some(adapter) = &mut self.adapter {
            let layers = adapter.after_step(self.task.as_mut(), report)?;
            if !layers.is_empty() {
                self.loggers.log(&Event::Merged { step: report.step, layers: &layers });
            }
        }
        if !report.events.is_empty() {
            self.follow_freezes();
            self.meter.change(self.task.matmuls());
        }
        for event in report.events.iter().filter(|event| event.is_freeze()) {
            self.counters.freezes.add(event.step);
        }
        self.loggers.log(&Event::Report(report));
        Ok(())
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

    /// Evaluates the model between two steps; returns whether the run must end.
    fn validate(&mut self) -> Result<bool> {
        let step = self.optimizer.steps();
        let model = (self.task.as_ref(), &mut self.cache);
        let validation = self.evaluator.validate(model, step, &mut self.counters)?;
        let Some(validation) = validation else { return Ok(false) };
        self.loggers.log(&Event::Evaluation(&validation.record));
        Ok(validation.stop)
    }

    /// With early stopping, evaluates the last weights, which may be the best, with the means of those that cool.
    fn validate_last(&mut self) -> Result<()> {
        if self.evaluator.needs_last(self.optimizer.steps()) {
            self.optimizer.apply_averages()?;
            self.validate()?;
        }
        Ok(())
    }

    /// Starts to write a checkpoint.
    fn save_checkpoint(&mut self) -> Result<()> {
        if let Some(report) = self.optimizer.flush()? {
            self.handle_report(&report)?;
        }
        self.read_losses()?;
        let (device, best) = (self.task.store().device(), self.evaluator.best_weights());
        let warnings = self.checkpointer.save(self.state(), &mut self.optimizer, device, best)?;
        self.warn(warnings);
        Ok(())
    }

    /// Returns the state of the run.
    fn state(&self) -> TrainState {
        TrainState {
            step: self.optimizer.steps(),
            counters: self.counters.stopped(),
            loss_monitor: self.monitor.state().clone(),
            early_stopping: self.evaluator.state(),
            cache: self.cache.eras().to_vec(),
        }
    }

    /// Ends the run: writes the last checkpoint, saves and evaluates the model; returns the summary and warnings.
    ///
    /// # Errors
    ///
    /// A [`NonFiniteError`](super::NonFiniteError) when the run stopped because of one.
    pub(super) fn finish(mut self, reason: StopReason, folder: &RunFolder) -> Result<(Summary, Vec<String>)> {
        self.read_losses()?;
        if reason.is_premature() {
            self.save_checkpoint()?;
        }
        let warning = self.checkpointer.wait();
        self.warn(warning);
        self.loggers.log(&Event::Stopped(reason));
        if reason == StopReason::NonFinite {
            return Err(self.monitor.error(self.optimizer.steps(), self.checkpointer.last()).into());
        }
        if reason != StopReason::Interrupted {
            self.set_final_weights()?;
        }
        self.save_model(folder)?;
        let scores = [self.evaluate_final(Split::Eval)?, self.evaluate_final(Split::Test)?];
        Ok((self.summary(reason, scores), self.final_warnings()))
    }

    /// Sets the weights that the run ends with: those of the best evaluation, or the means of those that cool.
    fn set_final_weights(&mut self) -> Result<()> {
        if !self.evaluator.restores_best() {
            self.optimizer.apply_averages()?;
        } else if let Some(step) = self.evaluator.restore_best()? {
            self.cache.clear();
            if let Some(adapter) = &self.adapter {
                adapter.unmerge(self.task.as_mut())?;
            }
            self.loggers.note(&format!("the weights of step {step}, the best evaluation, are put back"));
        }
        Ok(())
    }

    /// Saves the adapter, or the whole model where none trains.
    fn save_model(&self, folder: &RunFolder) -> Result<()> {
        if let Some(adapter) = &self.adapter {
            return adapter.save(self.task.as_ref(), &folder.file("adapter"));
        }
        let dir = folder.file("model");
        self.task.save(&dir).with_context(|| format!("saving the model in {}", dir.display()))
    }

    /// Evaluates the final model on a split, and logs an evaluation on `data.eval`.
    fn evaluate_final(&mut self, split: Split) -> Result<Scores> {
        let step = self.optimizer.steps();
        let model = (self.task.as_ref(), &mut self.cache);
        let record = self.evaluator.evaluate_final(model, split, step, &mut self.counters)?;
        if let (Split::Eval, Some(record)) = (split, &record) {
            self.loggers.log(&Event::Evaluation(record));
        }
        Ok(record.map(|record| record.evaluation.scores()).unwrap_or_default())
    }

    /// Sums up the run.
    fn summary(&self, reason: StopReason, scores: [Scores; 2]) -> Summary {
        let result = RunResult {
            reason,
            counters: &self.counters,
            losses: self.monitor.state(),
            task: self.task.as_ref(),
            optimizer: &self.optimizer,
            cache: self.cache.most_bytes(),
            planned_steps: self.loader.steps(),
            scores,
            best: self.evaluator.best_step(),
            validation_is_cost: self.evaluator.is_part_of_the_cost(),
        };
        result.summarize()
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
