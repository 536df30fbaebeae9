//! Evaluates a classifier: loss and accuracy.

use anyhow::Result;
use grades_models::Prefix;
use grades_models::bert::BertClassifier;
use grades_models::flops::BatchShape;
use tch::{Kind, Reduction, Tensor};

use super::begin::{BatchRows, begin_classifier};
use crate::cache::{ActivationCache, RowSet};
use crate::data::{Batch, Dataset, Sampler};
use crate::records::Evaluation;

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
    let mut right = Tensor::f_zeros([], (Kind::Int64, model.device()))?;
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
        right = right.f_add(&logits.f_argmax(-1, false)?.f_eq_tensor(&batch.labels)?.f_sum(Kind::Int64)?)?;
    }
    let examples = dataset.len();
    let count = examples.max(1) as f64;
    let right = i64::try_from(right)? as f64;
    Ok(Some(Evaluation {
        loss: f64::try_from(loss)? / count,
        perplexity: None,
        accuracy: Some(right / count),
        accuracy_per_byte: None,
        exact_match: None,
        examples,
        flops,
        seconds: start.elapsed().as_secs_f64(),
    }))
}
