//! `steps.jsonl`: a record per optimizer step.

use grades::schema::words;
use serde::{Deserialize, Serialize};

use super::number::{is_zero, nan, nan_if_null, whole, whole_or_null};

/// The file's name in a run's folder.
pub const STEPS: &str = "steps.jsonl";

/// One optimizer step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step, counted from 1.
    pub step: u64,
    /// The pass over the data that it belongs to, counted from 1.
    #[serde(default)]
    pub epoch: u64,
    /// The mean loss over the step's examples, before the update; null when it is not finite.
    #[serde(default = "nan", deserialize_with = "nan_if_null")]
    pub loss: f64,
    /// The learning rate of the update.
    #[serde(default = "nan", deserialize_with = "nan_if_null")]
    pub learning_rate: f64,
    /// The L2 norm of all gradients before clipping; null when it was not computed.
    #[serde(default)]
    pub grad_norm: Option<f64>,
    /// Examples, tokens, operations and time.
    #[serde(flatten)]
    pub work: StepWork,
    /// Components that cool and that are frozen after it.
    #[serde(flatten)]
    pub components: ComponentCounts,
    /// Memory after it.
    #[serde(flatten)]
    pub memory: StepMemory,
    /// Why no update was applied; absent where one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<SkipReason>,
}

/// The work of a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepWork {
    /// The step's examples.
    #[serde(default)]
    pub examples: usize,
    /// Its tokens, without padding.
    #[serde(default)]
    pub tokens: usize,
    /// Its floating-point operations, counted from the shapes.
    #[serde(default, deserialize_with = "whole")]
    pub flops: u128,
    /// Those of its forward passes that the activation cache saved; they are not in `flops`.
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "whole")]
    pub cache_flops: u128,
    /// Seconds since training began, without evaluations.
    pub seconds: f64,
}

/// Components that are no longer active.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ComponentCounts {
    /// Components that cool.
    pub cooling: usize,
    /// Components that are frozen.
    pub frozen: usize,
}

/// Memory after a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepMemory {
    /// The resident size of the process, in bytes; null where the system does not report it.
    #[serde(deserialize_with = "whole_or_null")]
    pub memory_bytes: Option<u64>,
    /// Bytes of parameters, gradients and optimizer state.
    #[serde(deserialize_with = "whole")]
    pub training_bytes: u64,
    /// Bytes of outputs of frozen blocks that are stored, in main memory and in a file.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "whole")]
    pub cache_bytes: u64,
}

words! {
    /// Why a step applied no update.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum SkipReason: "reason to skip" {
        /// The loss was not finite.
        Loss = "loss",
        /// A gradient was not finite.
        Gradients = "gradients",
    }
}
