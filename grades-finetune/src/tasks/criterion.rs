//! The loss that a classifier trains by.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use tch::{Device, Reduction, Tensor};

use crate::config::{ClassWeights, TrainingConfig};
use crate::data::{Dataset, Labels};

/// Cross-entropy with class weights and label smoothing, both as in PyTorch.
///
/// With class weights the sum is divided by the number of examples, not by that of their weights, so that the parts of a
/// step add up however batches divide it.
pub(super) struct Criterion {
    weights: Option<Tensor>,
    label_smoothing: f64,
}

impl Criterion {
    /// Makes the loss of a run; balanced weights follow from the training data.
    ///
    /// # Errors
    ///
    /// When a label has no weight, or a weight no label.
    pub(super) fn new(
        config: &TrainingConfig,
        labels: &Labels,
        training: &Dataset,
        device: Device,
    ) -> Result<Self> {
        let weights = match &config.class_weights {
            None => None,
            Some(ClassWeights::Balanced) => Some(balanced(labels, training)),
            Some(ClassWeights::ByLabel(table)) => Some(by_label(labels, table)?),
        };
        let weights =
            weights.map(|weights| Tensor::f_from_slice(&weights)?.f_to_device(device)).transpose()?;
        Ok(Self { weights, label_smoothing: config.label_smoothing })
    }

    /// Computes the mean loss of a batch from its logits in f32.
    pub(super) fn mean(&self, logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
        let loss = |reduction| {
            logits.f_cross_entropy_loss(
                labels,
                self.weights.as_ref(),
                reduction,
                Dataset::IGNORED,
                self.label_smoothing,
            )
        };
        if self.weights.is_none() {
            return Ok(loss(Reduction::Mean)?);
        }
        let examples = labels.numel().max(1) as f64;
        Ok(loss(Reduction::Sum)?.f_div_scalar(examples)?)
    }
}

/// Returns the weights by which each label counts alike, 0 for one without examples.
fn balanced(labels: &Labels, training: &Dataset) -> Vec<f32> {
    let mut counts = vec![0usize; labels.len()];
    for &label in training.labels() {
        if let Some(count) = usize::try_from(label).ok().and_then(|label| counts.get_mut(label)) {
            *count += 1;
        }
    }
    let present = counts.iter().filter(|count| **count > 0).count();
    let all = training.len() as f64;
    let weight = |count: usize| if count == 0 { 0.0 } else { all / (present * count) as f64 };
    counts.into_iter().map(|count| weight(count) as f32).collect()
}

/// Returns the weights of a table in the order of the labels.
fn by_label(labels: &Labels, table: &BTreeMap<String, f64>) -> Result<Vec<f32>> {
    let names = labels.names().join(", ");
    if let Some(unknown) = table.keys().find(|label| labels.id(label).is_none()) {
        bail!("training.class_weights: there is no label \"{unknown}\"; the labels are {names}");
    }
    let weight = |name: &String| match table.get(name) {
        Some(weight) => Ok(*weight as f32),
        None => bail!("training.class_weights: the label \"{name}\" has no weight; the labels are {names}"),
    };
    labels.names().iter().map(weight).collect()
}
