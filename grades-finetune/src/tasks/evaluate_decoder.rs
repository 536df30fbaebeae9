//! Evaluates a decoder: loss, perplexity, exact matches and multiple choice.

use anyhow::Result;
use grades_models::decoder::{Decoder, Generation};
use grades_models::flops::{BatchShape, Matmuls};
use tch::{Device, Kind};

use crate::config::EvaluationConfig;
use crate::data::sequence::{Sequence, Sequences, Vocabulary, collate};
use crate::records::Evaluation;

/// Evaluates a decoder on all examples, without dropout and without gradients.
///
/// The loss is the mean over all target tokens, in nats, and the perplexity is its exponential. Of questions,
/// `accuracy` is the share in which the right choice is the most likely one, and `accuracy_per_byte` the same with each
/// choice's log-likelihood divided by its length in bytes.
///
/// # Errors
///
/// When the model, the tokenizer or libtorch refuses.
pub(super) fn evaluate_decoder(
    model: &Decoder,
    sequences: &Sequences,
    vocabulary: &Vocabulary,
    batch_size: usize,
    options: &EvaluationConfig,
) -> Result<Evaluation> {
    let start = std::time::Instant::now();
    let all: Vec<&Sequence> = sequences.list.iter().collect();
    let mut flops = FlopCount { matmuls: model.matmuls(false), total: 0 };
    let losses = sums(model, &all, batch_size, &mut flops)?;
    let count: usize = all.iter().map(|sequence| sequence.target_count()).sum();
    let loss = losses.iter().sum::<f64>() / count.max(1) as f64;
    let mut evaluation = Evaluation {
        loss,
        perplexity: Some(loss.exp()),
        accuracy: None,
        accuracy_per_byte: None,
        exact_match: None,
        examples: sequences.len(),
        flops: 0,
        seconds: 0.0,
    };
    if !sequences.questions.is_empty() {
        let (plain, per_byte) = multiple_choice(model, sequences, batch_size, &mut flops)?;
        evaluation.accuracy = Some(plain);
        evaluation.accuracy_per_byte = Some(per_byte);
    }
    if options.exact_match && sequences.answers {
        let options =
            Generation { max_new_tokens: options.max_new_tokens, stop: model.stop_ids(), batch_size };
        evaluation.exact_match = Some(exact_match(model, &all, vocabulary, &options, &mut flops)?);
    }
    evaluation.flops = flops.total;
    evaluation.seconds = start.elapsed().as_secs_f64();
    Ok(evaluation)
}

/// Counts the FLOPs of forward passes.
struct FlopCount {
    matmuls: Matmuls,
    total: u128,
}

impl FlopCount {
    fn add(&mut self, shape: BatchShape) {
        self.total += self.matmuls.forward(shape);
    }
}

/// Sums the losses of each sequence.
fn sums(
    model: &Decoder,
    sequences: &[&Sequence],
    batch_size: usize,
    flops: &mut FlopCount,
) -> Result<Vec<f64>> {
    let mut order: Vec<usize> = (0..sequences.len()).collect();
    // Longest first: if the memory does not suffice, the first batch fails.
    order.sort_by_key(|&index| {
        std::cmp::Reverse(sequences.get(index).map_or(0, |sequence| sequence.ids.len()))
    });
    let mut sums = vec![0.0; sequences.len()];
    for indices in order.chunks(batch_size.max(1)) {
        let batch: Vec<&Sequence> =
            indices.iter().filter_map(|&index| sequences.get(index).copied()).collect();
        let rows: Vec<Vec<&Sequence>> = batch.iter().map(|&sequence| vec![sequence]).collect();
        let collated = collate(&rows, model.device())?;
        let length = batch.iter().map(|sequence| sequence.ids.len()).max().unwrap_or(0);
        let targets = batch.iter().map(|sequence| sequence.target_count()).sum();
        flops.add(BatchShape::new(batch.len(), length, targets));
        let losses = model.losses(&collated.tokens, &collated.targets)?;
        let losses = Vec::<f64>::try_from(losses.f_to_kind(Kind::Double)?.f_to_device(Device::Cpu)?)?;
        let mut rest = losses.as_slice();
        for (&index, sequence) in indices.iter().zip(batch) {
            let (own, others) = rest.split_at(sequence.target_count().min(rest.len()));
            rest = others;
            if let Some(sum) = sums.get_mut(index) {
                *sum = own.iter().sum();
            }
        }
    }
    Ok(sums)
}

/// Returns the shares of questions whose right choice is the most likely, by likelihood and by likelihood per byte.
fn multiple_choice(
    model: &Decoder,
    sequences: &Sequences,
    batch_size: usize,
    flops: &mut FlopCount,
) -> Result<(f64, f64)> {
    let choices: Vec<&Sequence> = sequences
        .questions
        .iter()
        .flat_map(|question| question.choices.iter().map(|choice| &choice.sequence))
        .collect();
    let losses = sums(model, &choices, batch_size, flops)?;
    let mut losses = losses.as_slice();
    let (mut plain, mut per_byte) = (0usize, 0usize);
    for question in &sequences.questions {
        let (own, rest) = losses.split_at(question.choices.len().min(losses.len()));
        losses = rest;
        let lowest = |values: Vec<f64>| {
            values.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).map(|(position, _)| position)
        };
        let scaled =
            own.iter().zip(&question.choices).map(|(loss, choice)| loss / choice.bytes.max(1) as f64);
        plain += usize::from(lowest(own.to_vec()) == Some(question.answer));
        per_byte += usize::from(lowest(scaled.collect()) == Some(question.answer));
    }
    let count = sequences.questions.len().max(1) as f64;
    Ok((plain as f64 / count, per_byte as f64 / count))
}

/// Returns the share of generated answers that are exactly the response.
fn exact_match(
    model: &Decoder,
    sequences: &[&Sequence],
    vocabulary: &Vocabulary,
    options: &Generation,
    flops: &mut FlopCount,
) -> Result<f64> {
    let prompts: Vec<Vec<i64>> = sequences
        .iter()
        .map(|sequence| split(sequence).0.iter().map(|&id| i64::from(id)).collect())
        .collect();
    let mut right = 0usize;
    let answers = model.generate_observed(&prompts, options, &mut |shape| flops.add(shape))?;
    for (sequence, answer) in sequences.iter().zip(answers) {
        let answer: Vec<u32> = answer.into_iter().filter_map(|id| u32::try_from(id).ok()).collect();
        let (answer, expected) = (vocabulary.decode(&answer)?, vocabulary.decode(split(sequence).1)?);
        right += usize::from(answer.trim() == expected.trim());
    }
    Ok(right as f64 / sequences.len().max(1) as f64)
}

/// Splits a sequence into prompt and answer.
fn split(sequence: &Sequence) -> (&[u32], &[u32]) {
    sequence.ids.split_at(sequence.answer_start().min(sequence.ids.len()))
}
