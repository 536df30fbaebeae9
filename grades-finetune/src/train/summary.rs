//! The summary of a run, and the table that a run ends with.

use std::fmt;
use std::path::Path;

use super::early_stopping::EarlyStopping;
use super::memory::peak_memory;
use super::progress::duration;
use super::recipe::Run;
use crate::records::{
    BestStep, DataCounts, FlopCounts, FreezeCounts, MemoryCounts, Scores, StepCounts, StopReason, Summary,
    Times,
};
use crate::tensorboard::TensorBoard;

impl Run<'_> {
    /// What the run did so far, but for its results on examples.
    pub(super) fn summary(&self, ended: StopReason) -> Summary {
        let train_seconds = self.seconds.as_secs_f64();
        let wall_seconds = self.keeping.wall_seconds();
        let paid = self.stopping.as_ref().map(|_| (self.validation_seconds, self.flops.validation()));
        let (paid_seconds, paid_flops) = paid.unwrap_or_default();
        let (tracker, guard) = (self.optimizer.tracker(), self.guard.state());
        let counters = self.counters();
        let tokens = self.task.skipped().map(|_| self.tokens);
        Summary {
            ended,
            time: Times {
                wall_seconds,
                train_seconds,
                train_cpu_seconds: self.cpu_seconds,
                eval_seconds: self.eval_seconds,
                validation_seconds: self.validation_seconds,
                cost_seconds: Some(wall_seconds - self.eval_seconds + paid_seconds),
            },
            steps: StepCounts {
                steps: self.optimizer.steps(),
                planned_steps: self.planned,
                bad_steps: guard.bad,
                loss_spikes: guard.spikes,
                resumes: self.keeping.earlier().resumes,
                validations: self.validations,
            },
            freezing: FreezeCounts {
                components_frozen: tracker.frozen(),
                components_total: tracker.total(),
                first_freeze: counters.first_freeze,
                last_freeze: counters.last_freeze,
            },
            data: DataCounts {
                examples: usize::try_from(self.examples).unwrap_or(usize::MAX),
                examples_per_second: self.examples as f64 / train_seconds.max(f64::MIN_POSITIVE),
                tokens_per_second: tokens.map(|tokens| tokens as f64 / train_seconds.max(f64::MIN_POSITIVE)),
                truncated: self.task.truncated(),
                skipped: self.task.skipped(),
            },
            final_train_loss: self.log.last_loss(),
            eval: Scores::default(),
            test: Scores::default(),
            best: BestStep {
                best_step: self.stopping.as_ref().and_then(EarlyStopping::best_step),
                restored_step: self.stopping.as_ref().and_then(EarlyStopping::restored),
            },
            flops: FlopCounts {
                flops: self.flops.total(),
                flops_without_freezing: self.flops.without_freezing(),
                validation_flops: self.flops.validation(),
                cost_flops: Some(self.flops.total() + paid_flops),
            },
            memory: MemoryCounts {
                peak_memory_bytes: peak_memory(),
                optimizer_state_bytes: self.optimizer.memory().optimizer_state,
            },
            device: format!("{:?}", self.task.device()).to_lowercase(),
        }
    }

    /// What went wrong without ending the run.
    pub(super) fn warnings(&mut self) -> Vec<String> {
        let observers = self.optimizer.take_observer_errors();
        let events = self.tensorboard.as_ref().and_then(TensorBoard::take_error);
        let events = events.map(|error| format!("the files for TensorBoard are incomplete: {error}"));
        let logs = self.keeping.incomplete();
        let observers = observers.iter().map(ToString::to_string);
        observers.chain(logs).chain(events).chain(self.bad_end()).collect()
    }
}

/// A summary as the table that a run ends with.
#[derive(Debug)]
pub struct SummaryTable<'a> {
    /// The summary.
    pub summary: &'a Summary,
    /// The run's folder.
    pub folder: &'a Path,
}

impl fmt::Display for SummaryTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { ended, time, steps, freezing, data, eval, test, best, memory, .. } = self.summary;
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        let freezes = or_dash(
            freezing.first_freeze.zip(freezing.last_freeze).map(|(first, last)| format!("{first} to {last}")),
        );
        let mebibytes = |bytes: Option<u64>| or_dash(bytes.map(|bytes| format!("{} MiB", bytes >> 20)));
        let restored =
            best.restored_step.map_or_else(String::new, |step| format!(" (weights of step {step})"));
        let rows = [
            ("ended", ended.words() + &restored),
            ("steps", format!("{} of {} planned", steps.steps, steps.planned_steps)),
            ("components frozen", format!("{} of {}", freezing.components_frozen, freezing.components_total)),
            ("frozen at steps", freezes),
            ("train loss", or_dash(self.summary.final_train_loss.map(|loss| format!("{loss:.4}")))),
            ("eval", or_dash(eval.text())),
            ("test", or_dash(test.text())),
            ("examples a second", format!("{:.1}", data.examples_per_second)),
            ("FLOPs in training", flops_text(self.summary)),
            ("training time", duration(time.train_seconds)),
            ("evaluation time", duration(time.eval_seconds)),
            ("wall time", duration(time.wall_seconds)),
            ("peak memory", mebibytes(memory.peak_memory_bytes)),
            ("optimizer state at the end", mebibytes(memory.optimizer_state_bytes)),
            ("device", self.summary.device.clone()),
            ("results", self.folder.display().to_string()),
        ];
        let counted =
            [("bad steps", steps.bad_steps), ("loss spikes", steps.loss_spikes), ("resumed", steps.resumes)];
        let counted = counted
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| (name, count.to_string()));
        let speed = data.tokens_per_second.map(|speed| ("tokens a second", format!("{speed:.0}")));
        for (name, value) in rows.into_iter().chain(counted).chain(speed) {
            writeln!(f, "{name:<27} {value}")?;
        }
        Ok(())
    }
}

/// The FLOPs, and the share that freezing removed.
fn flops_text(summary: &Summary) -> String {
    let flops = summary.flops;
    let saved = 1.0 - flops.flops as f64 / (flops.flops_without_freezing as f64).max(1.0);
    let saved =
        if saved > 0.0 { format!(", {:.1} % less by freezing", 100.0 * saved) } else { String::new() };
    format!("{:.3e}{saved}", flops.flops as f64)
}
