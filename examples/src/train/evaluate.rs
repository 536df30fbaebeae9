//! Loss and accuracy over a dataset.

use anyhow::Result;
use serde::Serialize;
use tch::{Kind, Reduction, Tensor};

use crate::data::{Dataset, Sampler};
use crate::model::BertClassifier;

/// What an evaluation found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Evaluation {
    /// The mean cross-entropy over the examples, in nats.
    pub loss: f64,
    /// The share of examples whose most likely label is the right one.
    pub accuracy: f64,
    /// How many examples there were.
    pub examples: usize,
    /// Wall seconds.
    pub seconds: f64,
}

/// Evaluates a model on all examples, without dropout and without gradients.
///
/// # Errors
///
/// When the model or libtorch refuses.
pub fn evaluate(
    model: &BertClassifier,
    dataset: &Dataset,
    sampler: &Sampler,
    batch_size: usize,
) -> Result<Evaluation> {
    let start = std::time::Instant::now();
    let _no_grad = tch::no_grad_guard();
    let mut loss = Tensor::f_zeros([], (Kind::Double, model.device()))?;
    let mut right = Tensor::f_zeros([], (Kind::Int64, model.device()))?;
    for indices in sampler.evaluation_order(batch_size) {
        let batch = dataset.collate(&indices, model.device())?;
        let logits = model.forward(&batch.ids, &batch.mask, false)?.f_to_kind(Kind::Float)?;
        let sum = logits.f_cross_entropy_loss(&batch.labels, None::<&Tensor>, Reduction::Sum, -100, 0.0)?;
        loss = loss.f_add(&sum)?;
        right = right.f_add(&logits.f_argmax(-1, false)?.f_eq_tensor(&batch.labels)?.f_sum(Kind::Int64)?)?;
    }
    let examples = dataset.len();
    let count = examples.max(1) as f64;
    let right = i64::try_from(right)? as f64;
    Ok(Evaluation {
        loss: f64::try_from(loss)? / count,
        accuracy: right / count,
        examples,
        seconds: start.elapsed().as_secs_f64(),
    })
}
