//! Batches on their device, with everything that is counted about them.

use anyhow::{Result, anyhow};
use grades_models::Prefix;
use grades_models::decoder::{Targets, Tokens};
use grades_models::flops::BatchShape;

/// A batch of training examples.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The tensors, by task; `None` for a batch of another process.
    pub(crate) tensors: Option<BatchTensors>,
    /// The counts of the batch.
    pub(crate) size: BatchSize,
    /// The FLOPs that the activation cache saved.
    pub(crate) cache_flops: u128,
}

/// The counts of a batch, for which nothing is computed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchSize {
    /// The number of examples.
    pub(crate) examples: usize,
    /// The number of targets, over which a step's loss is averaged: labels, or predicted tokens.
    pub(crate) targets: usize,
    /// The number of tokens, without padding.
    pub(crate) tokens: usize,
    /// The sizes that the FLOPs are counted from.
    pub(crate) shape: BatchShape,
}

/// The tensors of a batch.
#[derive(Debug)]
pub(crate) enum BatchTensors {
    /// Sentences with a label each.
    Labelled {
        /// The sentences and their labels.
        batch: crate::data::Batch,
        /// The output of the blocks below the first that the pass runs.
        prefix: Option<Prefix>,
    },
    /// Sequences whose tokens are predicted.
    Sequences {
        /// The tokens.
        tokens: Tokens,
        /// The tokens to predict.
        targets: Targets,
    },
}

impl Batch {
    /// Makes the batch of another process: its counts alone.
    pub(crate) fn elsewhere(size: BatchSize) -> Self {
        Self { tensors: None, size, cache_flops: 0 }
    }

    /// Returns the labelled sentences, and the output of the blocks below the first that the pass runs.
    ///
    /// # Errors
    ///
    /// When another task made the batch.
    pub(super) fn labelled(&self) -> Result<(&crate::data::Batch, Option<&Prefix>)> {
        match &self.tensors {
            Some(BatchTensors::Labelled { batch, prefix }) => Ok((batch, prefix.as_ref())),
            _ => Err(anyhow!("expected a batch of labelled sentences")),
        }
    }

    /// Returns the sequences and their targets.
    ///
    /// # Errors
    ///
    /// When another task made the batch.
    pub(super) fn sequences(&self) -> Result<(&Tokens, &Targets)> {
        match &self.tensors {
            Some(BatchTensors::Sequences { tokens, targets }) => Ok((tokens, targets)),
            _ => Err(anyhow!("expected a batch of sequences")),
        }
    }
}

/// The position of a batch among those whose gradients one optimizer step accumulates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MicroBatch {
    /// The step, counted from 1.
    pub(crate) step: u64,
    /// The index of the batch in the step.
    pub(crate) index: usize,
    /// The targets of all batches of the step.
    pub(crate) step_targets: usize,
    /// Whether no batch follows in this process: the gradients are complete with it.
    pub(crate) is_last: bool,
}
