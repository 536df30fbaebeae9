//! Evaluates a classifier: loss and accuracy.

use anyhow::Result;
use grades_models::Prefix;
use grades_models::bert::BertClassifier;
use grades_models::flops::BatchShape;
use tch::{Kind, Reduction, Tensor};

use super::begin::{BatchRows, begin_classifier};
use super::share::Share;
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

/// Evaluates a classifier on all examples, without dropout and without gradients; `None` when it is ended before a batch.
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
    // Of each batch that this process evaluates: its index, the sum of the losses, and the right answers.
    let mut own = Vec::new();
    let mut sums = Vec::new();
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
        let right = logits.f_argmax(-1, false)?.f_eq_tensor(&batch.labels)?.f_sum(Kind::Double)?;
        own.push(index);
        sums.push(Tensor::f_stack(&[sum.f_to_kind(Kind::Double)?, right], 0)?);
    }
    let mut numbers = vec![0.0; 2 * order.len()];
    if !sums.is_empty() {
        let found = Vec::<f64>::try_from(Tensor::f_cat(&sums, 0)?)?;
        for (index, pair) in own.iter().zip(found.chunks_exact(2)) {
            numbers.iter_mut().skip(2 * index).zip(pair).for_each(|(number, value)| *number = *value);
        }
    }
    share.gather(&mut numbers)?;
    let flops = share.sum(flops)?;
    let (loss, right) =
        numbers.chunks_exact(2).fold((0.0, 0.0), |(loss, right), pair| (loss + pair[0], right + pair[1]));
    let examples = dataset.len();
    let count = examples.max(1) as f64;
    Ok(Some(Evaluation {
        loss: loss / count,
        perplexity: None,
        accuracy: Some(right / count),
        accuracy_per_byte: None,
        exact_match: None,
        examples,
        flops,
        seconds: start.elapsed().as_secs_f64(),
    }))
}
