//! The `[training]` table.

use grades::schema::field::{
    AT_LEAST_ZERO, BELOW_ONE, SHARE_ABOVE_ZERO, count, custom, flag, number, optional_count, optional_value,
};
use grades::schema::table;
use serde::Serialize;

use super::class_weights::ClassWeights;
use super::interval::Interval;

table! {
    /// The length of the training and its batches.
    #[derive(Debug, Clone, Serialize)]
    pub struct TrainingConfig = "training" {
        /// Passes over the training examples.
        epochs: u64 = count(3, 1),
        /// The largest number of optimizer steps.
        max_steps: Option<u64> = optional_count().note("no limit"),
        /// Examples in a forward pass.
        batch_size: usize = count(32, 1),
        /// Batches in an optimizer step.
        gradient_accumulation_steps: usize = count(1, 1).alias("accumulate"),
        /// Compute a decoder's blocks twice to save memory.
        activation_checkpointing: bool = flag(false).alias("checkpointing"),
        /// Scale gradients to at most this L2 norm; 0 does not clip.
        clip_norm: f64 = number(1.0, AT_LEAST_ZERO),
        /// Train for this fraction of the steps that `epochs` and `max_steps` give.
        step_fraction: f64 = number(1.0, SHARE_ABOVE_ZERO).alias("share"),
        /// Evaluate every n steps, or every share of an epoch, besides the end.
        eval_every: Interval = custom(Interval::Never, Interval::EXPECTED, Interval::read)
            .or(Interval::EpochShare(0.1), "with [early_stopping]"),
        /// Examples in a forward pass of an evaluation.
        eval_batch_size: usize = count(64, 1),
        /// The seed of the head, the order of the data and dropout.
        seed: u64 = count(0, 0),
        /// The share of a classifier's target that is spread over all labels.
        label_smoothing: f64 = number(0.0, BELOW_ONE),
        /// The weights of a classifier's labels in the loss.
        class_weights: Option<ClassWeights> =
            optional_value("\"balanced\", or a table with a number of at least 0 for each label"),
    }
}
