//! The interface between the trainer and a model with its data.

use std::path::Path;

use anyhow::Result;
use grades_lora::LinearLayers;
use grades_models::Model;
use grades_models::flops::Matmuls;
use tch::Tensor;
use tch::nn::VarStore;

use super::batch::{Batch, MicroBatch};
use super::optimizer::Optimizer;
use crate::cache::{ActivationCache, CacheLayout};
use crate::data::Sampler;
use crate::records::{Evaluation, Metric};

/// A part of the data that a run is measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Split {
    /// `data.eval`: during training and at its end.
    Eval,
    /// `data.test`: at the end only.
    Test,
}

/// The outcome of an evaluation.
#[derive(Debug)]
pub(crate) enum Evaluated {
    /// All examples were evaluated.
    Done(Box<Evaluation>),
    /// The run has no such data.
    NoData,
    /// It was stopped before its end.
    Stopped,
}

impl From<Option<Evaluation>> for Evaluated {
    /// Wraps an evaluation; `None` was stopped.
    fn from(evaluation: Option<Evaluation>) -> Self {
        evaluation.map_or(Self::Stopped, |evaluation| Self::Done(Box::new(evaluation)))
    }
}

/// A model with its training data, its loss and its evaluations.
pub(crate) trait Task {
    /// Returns the facts that do not change during a run.
    fn info(&self) -> &TaskInfo;

    /// Returns the model's variables.
    fn store(&self) -> &VarStore;

    /// Returns the linear layers and the variables, to add adapters to.
    fn layers_mut(&mut self) -> (&mut dyn LinearLayers, &VarStore);

    /// Returns the model.
    fn model(&self) -> &dyn Model;

    /// Returns the lengths of the rows whose hidden states can be stored; `evaluates` says whether there are evaluations
    /// between steps.
    fn cache_layout(&self, evaluates: bool) -> CacheLayout;

    /// Detaches the input side of a tied embedding, or attaches it again.
    fn set_input_detached(&mut self, detached: bool);

    /// Lists the matrix products of a training step with what is frozen now.
    fn matmuls(&self) -> Matmuls;

    /// Returns the order of the training data.
    fn sampler(&self) -> &Sampler;

    /// Builds a batch of training examples, which begins above the blocks whose outputs are stored.
    fn batch(&self, indices: &[usize], cache: &mut ActivationCache) -> Result<Batch>;

    /// Adds the gradients of one batch; returns its part of the step's mean loss.
    fn backward(&self, batch: &Batch, micro: MicroBatch, optimizer: &mut Optimizer) -> Result<Tensor>;

    /// Evaluates the model on a split, in batches that begin above the blocks whose outputs are stored; `stop` is asked
    /// before each.
    fn evaluate(
        &self,
        split: Split,
        batch_size: usize,
        cache: &mut ActivationCache,
        stop: &dyn Fn() -> bool,
    ) -> Result<Evaluated>;

    /// Stores the outputs of frozen blocks for `data.eval`, as an evaluation in batches of this size does.
    fn fill_cache(&self, batch_size: usize, cache: &mut ActivationCache) -> Result<()>;

    /// Writes the model directory.
    fn save(&self, dir: &Path) -> Result<()>;
}

/// Facts about a task that are known once it is loaded.
#[derive(Debug, Default)]
pub(crate) struct TaskInfo {
    /// The training data in a few words.
    pub(crate) description: String,
    /// Facts that the user should know before the run.
    pub(crate) notes: Vec<String>,
    /// PEFT's name for the task.
    pub(crate) peft_task_type: &'static str,
    /// The names of the variables that are in no file, so that an adapter must save them.
    pub(crate) fresh_variables: Vec<String>,
    /// The names of the labels, for classifiers.
    pub(crate) labels: Option<Vec<String>>,
    /// The metrics that an evaluation on `data.eval` measures; empty without such data.
    pub(crate) metrics: Vec<Metric>,
    /// The number of training examples that were cut to the longest sequence.
    pub(crate) truncated: usize,
    /// The number of training examples that were left out, where that is possible.
    pub(crate) skipped: Option<usize>,
}
