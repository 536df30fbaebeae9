//! Sums up a run.

use super::evaluator::Evaluator;
use super::saver::Rescue;
use crate::cache::CacheBytes;
use crate::records::{
    ClassResults, DataCounts, FlopCounts, FreezeCounts, MemoryCounts, Scores, StepCounts, StopReason,
    Summary, Times,
};
use crate::run::peak_memory;
use crate::state::{Counters, LossMonitorState};
use crate::tasks::{Optimizer, Task};

/// A run that has come to its end.
pub(super) struct Finished {
    pub(crate) summary: Summary,
    /// Failures that did not end the run.
    pub(crate) warnings: Vec<String>,
    /// Where the model is, if not in the run's folder.
    pub(crate) rescue: Option<Rescue>,
}

/// The facts that a summary is made of.
pub(super) struct RunResult<'a> {
    pub(crate) reason: StopReason,
    pub(crate) counters: &'a Counters,
    pub(crate) losses: &'a LossMonitorState,
    pub(crate) task: &'a dyn Task,
    pub(crate) optimizer: &'a Optimizer,
    /// The most bytes that the activation cache took.
    pub(crate) cache: CacheBytes,
    pub(crate) planned_steps: u64,
    /// The scores on the examples for evaluation and for tests.
    pub(crate) scores: [Scores; 2],
    /// The results by class of the same.
    pub(crate) classes: [Option<ClassResults>; 2],
    pub(crate) evaluator: &'a Evaluator,
}

impl RunResult<'_> {
    /// Writes the summary.
    pub(super) fn summarize(&self) -> Summary {
        let [eval_classes, test_classes] = self.classes.clone();
        let Counters { freezes, last_loss, .. } = self.counters;
        let tracker = self.optimizer.tracker();
        let [eval, test] = self.scores;
        Summary {
            ended: self.reason,
            time: self.times(),
            steps: self.steps(),
            freezing: FreezeCounts {
                components_frozen: tracker.frozen(),
                components_total: tracker.total(),
                first_freeze: freezes.first,
                last_freeze: freezes.last,
            },
            data: self.data(),
            final_train_loss: *last_loss,
            eval,
            test,
            eval_classes,
            test_classes,
            best: self.evaluator.best_step(),
            flops: self.flops(),
            memory: MemoryCounts {
                peak_memory_bytes: peak_memory(),
                optimizer_state_bytes: self.optimizer.memory().optimizer_state,
                cache_memory_bytes: self.cache.memory,
                cache_file_bytes: self.cache.file,
            },
            device: format!("{:?}", self.task.store().device()).to_lowercase(),
        }
    }

    fn times(&self) -> Times {
        let clock = &self.counters.clock;
        let wall_seconds = clock.wall.seconds();
        let paid = if self.evaluator.is_part_of_the_cost() { clock.validation_seconds } else { 0.0 };
        Times {
            wall_seconds,
            train_seconds: clock.train_seconds(),
            train_cpu_seconds: clock.cpu_seconds,
            eval_seconds: clock.eval_seconds,
            validation_seconds: clock.validation_seconds,
            cost_seconds: Some(wall_seconds - clock.eval_seconds + paid),
        }
    }

    fn steps(&self) -> StepCounts {
        StepCounts {
            steps: self.optimizer.steps(),
            planned_steps: self.planned_steps,
            bad_steps: self.losses.bad_steps,
            loss_spikes: self.losses.spikes,
            resumes: self.counters.resumes,
            validations: self.counters.totals.validations,
        }
    }

    fn data(&self) -> DataCounts {
        let (totals, info) = (&self.counters.totals, self.task.info());
        let per_second =
            |count: u64| count as f64 / self.counters.clock.train_seconds().max(f64::MIN_POSITIVE);
        DataCounts {
            examples: usize::try_from(totals.examples).unwrap_or(usize::MAX),
            examples_per_second: per_second(totals.examples),
            tokens_per_second: info.skipped.map(|_| per_second(totals.tokens)),
            truncated: info.truncated,
            skipped: info.skipped,
        }
    }

    fn flops(&self) -> FlopCounts {
        let totals = &self.counters.totals;
        let paid = if self.evaluator.is_part_of_the_cost() { totals.validation_flops } else { 0 };
        FlopCounts {
            flops: totals.flops,
            flops_without_freezing: totals.flops_without_freezing,
            cache_flops: totals.cache_flops,
            validation_flops: totals.validation_flops,
            cost_flops: Some(totals.flops.saturating_add(paid)),
        }
    }
}
