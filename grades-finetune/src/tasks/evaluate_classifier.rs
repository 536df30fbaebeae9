//! Evaluates a classifier: the loss, and what follows from the confusion matrix.

use anyhow::Result;
use grades_models::Prefix;
use grades_models::bert::BertClassifier;
use grades_models::flops::BatchShape;
use tch::{Device, Kind, Reduction, Tensor};

use super::begin::{BatchRows, begin_classifier};
use super::share::Share;
use crate::cache::{ActivationCache, RowSet};
use crate::data::{Batch, Dataset, Sampler};
use crate::metrics::ConfusionMatrix;
use crate::records::{Evaluation, Metric};

/// The metrics that [`evaluate`] measures.
pub(super) const CLASSIFICATION_METRICS: [Metric; 6] =
    [Metric::Loss, Metric::Accuracy, Metric::BalancedAccuracy, Metric::MacroF1, Metric::MicroF1, Metric::Mcc];

/// Computes the logits of a batch of sentences or pairs, in f32; from the output of the lowest blocks, where it is known.
///
/// # Errors
///
/// When the model or libtorch refuses.
pub(super) fn logits(
    model: &BertClassifier,
    batch: &Batch,
    prefix: Option<&Prefix>,
    train: bool,
) -> Result<Tensor> {
    let logits = match (prefix, &batch.types) {
        (Some(prefix), _) => model.forward_from(prefix, &batch.mask, train)?,
        (None, Some(types)) => model.forward_pairs(&batch.ids, types, &batch.mask, train)?,
        (None, None) => model.forward(&batch.ids, &batch.mask, train)?,
    };
    Ok(logits.f_to_kind(Kind::Float)?)
}

/// Evaluates a classifier on all examples, without dropout and without gradients; `None` when `stop` says so before a
/// batch.
///
/// # Errors
///
/// When the model or libtorch refuses.
pub(super) fn evaluate(
    model: &BertClassifier,
    dataset: &Dataset,
    sampler: &Sampler,
    batch_size: usize,
    cache: &mut ActivationCache,
    share: &Share<'_>,
) -> Result<Option<Evaluation>> {
    let start = std::time::Instant::now();
    let _no_grad = tch::no_grad_guard();
    let (matmuls, mut flops) = (model.matmuls(), 0);
    let order = sampler.evaluation_order(batch_size);
    // The batches and the examples that this process evaluates. The numbers stay on the device until the end.
    let (mut batches, mut rows_seen) = (Vec::new(), Vec::new());
    let (mut losses, mut predicted) = (Vec::new(), Vec::new());
    for (index, indices) in order.iter().enumerate() {
        if !share.goes_on(index)? {
            return Ok(None);
        }
        if !share.owns(index) {
            continue;
        }
        let batch = dataset.collate(indices, model.device())?;
        let length = batch.ids.size().get(1).and_then(|length| usize::try_from(*length).ok()).unwrap_or(0);
        let rows = BatchRows { set: RowSet::Evaluation, rows: indices, length };
        let (prefix, saved) = begin_classifier(model, &batch, rows, cache)?;
        flops += matmuls.forward(BatchShape::new(indices.len(), length, 0)).saturating_sub(saved);
        let logits = logits(model, &batch, prefix.as_ref(), false)?;
        let sum = logits.f_cross_entropy_loss(&batch.labels, None::<&Tensor>, Reduction::Sum, -100, 0.0)?;
        losses.push(sum);
        predicted.push(logits.f_argmax(-1, false)?);
        batches.push(index);
        rows_seen.extend(indices.iter().copied());
    }
    let examples = dataset.len();
    // The loss of each batch, then the answer to each example.
    let mut numbers = vec![0.0; order.len() + examples];
    if !batches.is_empty() {
        let losses = Tensor::f_stack(&losses, 0)?.f_to_kind(Kind::Double)?.f_to_device(Device::Cpu)?;
        let predicted = Tensor::f_cat(&predicted, 0)?.f_to_kind(Kind::Double)?.f_to_device(Device::Cpu)?;
        let places = batches.into_iter().chain(rows_seen.into_iter().map(|row| order.len() + row));
        let found = Vec::<f64>::try_from(losses)?.into_iter().chain(Vec::<f64>::try_from(predicted)?);
        for (place, number) in places.zip(found) {
            if let Some(slot) = numbers.get_mut(place) {
                *slot = number;
            }
        }
    }
    share.gather(&mut numbers)?;
    let flops = share.sum(flops)?;
    let (losses, predicted) = numbers.split_at(order.len());
    let loss: f64 = losses.iter().sum();
    let mut confusion = ConfusionMatrix::new(model.labels().len());
    for (row, predicted) in predicted.iter().enumerate() {
        if let Some(label) = dataset.label(row) {
            confusion.add(usize::try_from(label)?, *predicted as usize);
        }
    }
    let count = examples.max(1) as f64;
    Ok(Some(Evaluation {
        loss: loss / count,
        accuracy: Some(confusion.right() as f64 / count),
        balanced_accuracy: confusion.balanced_accuracy(),
        macro_f1: confusion.macro_f1(),
        micro_f1: confusion.micro_f1(),
        mcc: confusion.mcc(),
        classes: Some(confusion.class_results(model.labels())),
        examples,
        flops,
        seconds: start.elapsed().as_secs_f64(),
        ..Evaluation::default()
    }))
}
