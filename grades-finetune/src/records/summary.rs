//! `summary.json`: the result of a run.

use std::path::Path;

use anyhow::Result;
use grades::schema::words;
use serde::{Deserialize, Serialize};

use super::classes::ClassResults;
use super::evaluation::Scores;
use super::json::read_file;
use super::number::{whole, whole_or_null};

words! {
    /// Why a run ended.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum StopReason: "reason to stop" {
        /// Every component is frozen.
        AllFrozen = "all-frozen",
        /// The share `freezing.stop_at` of the components is frozen.
        EnoughFrozen = "enough-frozen",
        /// Early stopping saw no improvement for `early_stopping.patience` evaluations.
        EarlyStopped = "early-stopped",
        /// All planned steps were run.
        AllSteps = "all-steps",
        /// A signal asked for an end; the run can be resumed.
        Interrupted = "interrupted",
        /// Loss or gradients were not finite for too many steps in a row.
        NonFinite = "bad-numbers",
    }
}

impl StopReason {
    /// Returns the same as words of a sentence.
    pub fn words(self) -> String {
        self.name().replace('-', " ")
    }

    /// Returns the exit code of a run that ended so, and without warnings.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::AllFrozen | Self::EnoughFrozen | Self::EarlyStopped | Self::AllSteps => 0,
            Self::NonFinite => 3,
            // As of a process that SIGINT ends.
            Self::Interrupted => 130,
        }
    }

    /// Returns whether freezing ended the run.
    pub fn is_by_freezing(self) -> bool {
        matches!(self, Self::AllFrozen | Self::EnoughFrozen)
    }

    /// Returns whether the run was broken off: its model is not the result of the configuration.
    pub fn is_premature(self) -> bool {
        matches!(self, Self::Interrupted | Self::NonFinite)
    }

    /// Says how a run ended, after `steps` of `planned` steps with `frozen` of `total` components frozen.
    pub fn sentence(self, (steps, planned): (u64, u64), (frozen, total): (usize, usize)) -> String {
        match self {
            Self::AllFrozen if steps == planned => {
                format!("all {total} components froze, the last ones as the {planned} planned steps ended")
            }
            Self::AllFrozen => {
                format!("all {total} components froze, so it ended after {steps} of {planned} steps")
            }
            Self::EnoughFrozen => format!(
                "enough components froze ({frozen} of {total}), so it ended after {steps} of {planned} steps"
            ),
            Self::AllSteps if frozen > 0 => {
                format!("it ran all {steps} steps; {frozen} of {total} components froze")
            }
            Self::AllSteps => format!("it ran all {steps} steps; nothing froze"),
            Self::EarlyStopped => {
                format!("validation early stopping ended it after {steps} of {planned} steps")
            }
            Self::Interrupted => format!(
                "it was interrupted after {steps} of {planned} steps, {frozen} of {total} components frozen"
            ),
            Self::NonFinite => format!(
                "it was stopped after {steps} of {planned} steps, because loss or gradients stayed NaN or infinite"
            ),
        }
    }
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Why it ended.
    pub ended: StopReason,
    /// Seconds.
    #[serde(flatten)]
    pub time: Times,
    /// Optimizer steps.
    #[serde(flatten)]
    pub steps: StepCounts,
    /// Components.
    #[serde(flatten)]
    pub freezing: FreezeCounts,
    /// Examples and tokens.
    #[serde(flatten)]
    pub data: DataCounts,
    /// The mean training loss of the last steps.
    #[serde(default)]
    pub final_train_loss: Option<f64>,
    /// The scores on the examples for evaluation.
    #[serde(flatten, with = "EvalScores")]
    pub eval: Scores,
    /// The scores on the test examples.
    #[serde(flatten, with = "TestScores")]
    pub test: Scores,
    /// A classifier's results by class on the examples for evaluation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_classes: Option<ClassResults>,
    /// Those on the test examples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_classes: Option<ClassResults>,
    /// The best evaluation.
    #[serde(flatten)]
    pub best: BestStep,
    /// Floating-point operations.
    #[serde(flatten)]
    pub flops: FlopCounts,
    /// Bytes.
    #[serde(flatten)]
    pub memory: MemoryCounts,
    /// The device on which the model was trained.
    #[serde(default)]
    pub device: String,
}

/// The seconds of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Times {
    /// Wall seconds from the start to the end, with loading and evaluations, without the breaks of a resumed run.
    pub wall_seconds: f64,
    /// Seconds in training steps, with freezing, without evaluations.
    pub train_seconds: f64,
    /// Processor seconds in training steps, of all threads together; null where the system does not report them.
    pub train_cpu_seconds: Option<f64>,
    /// Seconds in evaluations, those during training and those at the end.
    pub eval_seconds: f64,
    /// Seconds in evaluations during training.
    pub validation_seconds: f64,
    /// The wall seconds that a user pays for such a run: without evaluations, except those of early stopping.
    pub cost_seconds: Option<f64>,
}

/// The optimizer steps of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepCounts {
    /// Optimizer steps that were run, skipped ones included.
    pub steps: u64,
    /// Optimizer steps that were planned.
    pub planned_steps: u64,
    /// Steps whose loss or gradients were not finite; no update was applied where that was seen in time.
    pub bad_steps: u64,
    /// Losses far above their running mean (`guard.spike_factor`).
    pub loss_spikes: u64,
    /// Resumes of the run.
    pub resumes: u64,
    /// Evaluations during training.
    pub validations: u64,
}

/// The components of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FreezeCounts {
    /// Components frozen at the end.
    pub components_frozen: usize,
    /// All components.
    pub components_total: usize,
    /// The step of the first freeze.
    pub first_freeze: Option<u64>,
    /// The step of the last freeze.
    pub last_freeze: Option<u64>,
}

/// The training data of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataCounts {
    /// Training examples that were seen, each as often as it was.
    pub examples: usize,
    /// Training examples a second of training.
    pub examples_per_second: f64,
    /// Tokens a second of training, without padding, for decoders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// Sentences of the training data that were cut at `max_tokens`.
    pub truncated: usize,
    /// Examples of a decoder's training data that were left out because they are too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<usize>,
}

/// The best evaluation of a run with early stopping.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BestStep {
    /// The step of the best evaluation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_step: Option<u64>,
    /// The step whose weights were restored at the end; absent when the last ones were the best.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored_step: Option<u64>,
}

/// The floating-point operations of a run, counted from the shapes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlopCounts {
    /// Those of all training steps.
    #[serde(deserialize_with = "whole")]
    pub flops: u128,
    /// Those of the same steps if nothing had been frozen.
    #[serde(deserialize_with = "whole")]
    pub flops_without_freezing: u128,
    /// Those that the activation cache saved, of the difference of the two.
    #[serde(deserialize_with = "whole")]
    pub cache_flops: u128,
    /// Those of the evaluations during training.
    #[serde(deserialize_with = "whole")]
    pub validation_flops: u128,
    /// Those that a user pays for, as with [`cost_seconds`](Times::cost_seconds).
    #[serde(deserialize_with = "whole_or_null")]
    pub cost_flops: Option<u128>,
}

/// The memory of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryCounts {
    /// The largest resident size of the process, in bytes.
    #[serde(deserialize_with = "whole_or_null")]
    pub peak_memory_bytes: Option<u64>,
    /// Bytes of optimizer state at the end.
    #[serde(deserialize_with = "whole_or_null")]
    pub optimizer_state_bytes: Option<u64>,
    /// The most bytes that the activation cache took in main memory.
    #[serde(deserialize_with = "whole")]
    pub cache_memory_bytes: u64,
    /// The most bytes of its file.
    #[serde(deserialize_with = "whole")]
    pub cache_file_bytes: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Scores")]
struct EvalScores {
    #[serde(rename = "eval_loss")]
    loss: Option<f64>,
    #[serde(rename = "eval_accuracy")]
    accuracy: Option<f64>,
    #[serde(rename = "eval_perplexity", skip_serializing_if = "Option::is_none")]
    perplexity: Option<f64>,
    #[serde(rename = "eval_accuracy_per_byte", skip_serializing_if = "Option::is_none")]
    accuracy_per_byte: Option<f64>,
    #[serde(rename = "eval_exact_match", skip_serializing_if = "Option::is_none")]
    exact_match: Option<f64>,
    #[serde(default, rename = "eval_balanced_accuracy", skip_serializing_if = "Option::is_none")]
    balanced_accuracy: Option<f64>,
    #[serde(default, rename = "eval_macro_f1", skip_serializing_if = "Option::is_none")]
    macro_f1: Option<f64>,
    #[serde(default, rename = "eval_micro_f1", skip_serializing_if = "Option::is_none")]
    micro_f1: Option<f64>,
    #[serde(default, rename = "eval_mcc", skip_serializing_if = "Option::is_none")]
    mcc: Option<f64>,
    #[serde(default, rename = "eval_mse", skip_serializing_if = "Option::is_none")]
    mse: Option<f64>,
    #[serde(default, rename = "eval_pearson", skip_serializing_if = "Option::is_none")]
    pearson: Option<f64>,
    #[serde(default, rename = "eval_spearman", skip_serializing_if = "Option::is_none")]
    spearman: Option<f64>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Scores")]
struct TestScores {
    #[serde(rename = "test_loss")]
    loss: Option<f64>,
    #[serde(rename = "test_accuracy")]
    accuracy: Option<f64>,
    #[serde(rename = "test_perplexity", skip_serializing_if = "Option::is_none")]
    perplexity: Option<f64>,
    #[serde(rename = "test_accuracy_per_byte", skip_serializing_if = "Option::is_none")]
    accuracy_per_byte: Option<f64>,
    #[serde(rename = "test_exact_match", skip_serializing_if = "Option::is_none")]
    exact_match: Option<f64>,
    #[serde(default, rename = "test_balanced_accuracy", skip_serializing_if = "Option::is_none")]
    balanced_accuracy: Option<f64>,
    #[serde(default, rename = "test_macro_f1", skip_serializing_if = "Option::is_none")]
    macro_f1: Option<f64>,
    #[serde(default, rename = "test_micro_f1", skip_serializing_if = "Option::is_none")]
    micro_f1: Option<f64>,
    #[serde(default, rename = "test_mcc", skip_serializing_if = "Option::is_none")]
    mcc: Option<f64>,
    #[serde(default, rename = "test_mse", skip_serializing_if = "Option::is_none")]
    mse: Option<f64>,
    #[serde(default, rename = "test_pearson", skip_serializing_if = "Option::is_none")]
    pearson: Option<f64>,
    #[serde(default, rename = "test_spearman", skip_serializing_if = "Option::is_none")]
    spearman: Option<f64>,
}

impl Summary {
    /// The file's name in a run's folder.
    pub const FILE: &str = "summary.json";

    /// Reads the summary in a run's folder; `None` when there is none, as of a run that goes on or was cut short.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is damaged; the error names it.
    pub fn read(run: &Path) -> Result<Option<Self>> {
        read_file(&run.join(Self::FILE), "a JSON object, as finetune train writes it")
    }

    /// Returns the operations that freezing removed; `None` when they were not counted.
    pub fn flops_saved(&self) -> Option<f64> {
        let FlopCounts { flops, flops_without_freezing: without, .. } = self.flops;
        (without > 0).then_some(without as f64 - flops as f64)
    }

    /// Returns the seconds of a training step; `None` without a step.
    pub fn seconds_per_step(&self) -> Option<f64> {
        (self.steps.steps > 0).then(|| self.time.train_seconds / self.steps.steps as f64)
    }
}
