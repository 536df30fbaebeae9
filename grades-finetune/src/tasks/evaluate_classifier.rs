//! Evaluates a classifier: the loss, and what follows from the confusion matrix.

use anyhow::Result;
use grades_models::Prefix;
use grades_models::bert::BertClassifier;
use grades_models::flops::BatchShape;
use tch::{Device, Kind, Reduction, Tensor};

use super::begin::{BatchRows, begin_classifier};
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
    stop: &dyn Fn() -> bool,
) -> Result<Option<Evaluation>> {
    let start = std::time::Instant::now();
    let _no_grad = tch::no_grad_guard();
    let mut loss = Tensor::f_zeros([], (Kind::Double, model.device()))?;
    let (mut labels, mut predicted) = (Vec::with_capacity(dataset.len()), Vec::new());
    let (matmuls, mut flops) = (model.matmuls(), 0);
    for indices in sampler.evaluation_order(batch_size) {
        if stop() {
            return Ok(None);
        }
        let batch = dataset.collate(&indices, model.device())?;
        let length = batch.ids.size().get(1).and_then(|length| usize::try_from(*length).ok()).unwrap_or(0);
        let rows = BatchRows { set: RowSet::Evaluation, rows: &indices, length };
        let (prefix, saved) = begin_classifier(model, &batch, rows, cache)?;
        flops += matmuls.forward(BatchShape::new(indices.len(), length, 0)).saturating_sub(saved);
        let logits = logits(model, &batch, prefix.as_ref(), false)?;
        let sum = logits.f_cross_entropy_loss(&batch.labels, None::<&Tensor>, Reduction::Sum, -100, 0.0)?;
        loss = loss.f_add(&sum)?;
        // They stay on the device until the end.
        predicted.push(logits.f_argmax(-1, false)?);
        labels.extend(indices.iter().filter_map(|&index| dataset.label(index)));
    }
    let mut confusion = ConfusionMatrix::new(model.labels().len());
    if !predicted.is_empty() {
        let predicted = Vec::<i64>::try_from(Tensor::f_cat(&predicted, 0)?.f_to_device(Device::Cpu)?)?;
        for (label, predicted) in labels.into_iter().zip(predicted) {
            confusion.add(usize::try_from(label)?, usize::try_from(predicted)?);
        }
    }
    let examples = dataset.len();
    let count = examples.max(1) as f64;
    Ok(Some(Evaluation {
        loss: f64::try_from(loss)? / count,
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
