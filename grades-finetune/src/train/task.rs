//! What the recipe asks of a model and its data.

use std::path::Path;

use anyhow::Result;
use grades::FreezingOptimizer;
use grades::optim::StatefulOptimizer;
use grades_lora::LinearLayers;
use tch::nn::VarStore;
use tch::{Device, Tensor};

use crate::data::Sampler;
use crate::records::Evaluation;
use grades_models::flops::{BatchShape, Products};

/// The optimizer of a run.
pub(super) type Optimizer = FreezingOptimizer<Box<dyn StatefulOptimizer>>;

/// The examples that a run measures itself by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// During training and at its end.
    Eval,
    /// At its end.
    Test,
}

/// One of the batches whose gradients a step adds up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Micro {
    /// The weights of all batches of the step.
    pub(super) step_weight: usize,
    /// The step, counted from 1, and the batch's place in it.
    pub(super) step: u64,
    pub(super) place: usize,
}

/// A model with its data.
pub(super) trait Task {
    /// The variables.
    fn store(&self) -> &VarStore;

    /// The linear layers, and the variables, to put adapters in.
    fn layers_mut(&mut self) -> (&mut dyn LinearLayers, &VarStore);

    /// What PEFT calls the task in an adapter's configuration.
    fn adapter_type(&self) -> &'static str;

    /// Variables that are in no file: an adapter has to bring them along.
    fn fresh(&self) -> &[String];

    /// The names of the labels, where there are any.
    fn labels(&self) -> Option<&[String]>;

    /// Where they are.
    fn device(&self) -> Device;

    /// What is trained on, in a few words.
    fn description(&self) -> String;

    /// What the user should know before the run.
    fn notes(&self) -> Vec<String>;

    /// The batches of the training data.
    fn sampler(&self) -> &Sampler;

    /// The examples in a batch.
    fn examples(&self, batch: &[usize]) -> usize;

    /// What a batch counts in the mean loss of a step: its examples, or the tokens that are predicted.
    fn weight(&self, batch: &[usize]) -> usize;

    /// Adds the gradients of one batch; returns its part of the step's mean loss, and its tokens.
    fn accumulate(&self, batch: &[usize], micro: Micro, optimizer: &mut Optimizer)
    -> Result<(Tensor, usize)>;

    /// The sizes of a batch as the model sees it.
    fn shape(&self, batch: &[usize]) -> BatchShape;

    /// The products of a training step as things stand.
    fn products(&self) -> Products;

    /// Whether an evaluation on `data.eval` gives an accuracy.
    fn has_accuracy(&self) -> bool;

    /// Measures the model on a part of the data; `None` when the run has no such part.
    fn evaluate(&self, part: Part, batch_size: usize) -> Result<Option<Evaluation>>;

    /// Writes the model.
    fn save(&self, dir: &Path) -> Result<()>;

    /// Training examples that were cut.
    fn truncated(&self) -> usize;

    /// Training examples that were left out, where that is possible.
    fn skipped(&self) -> Option<usize>;
}
