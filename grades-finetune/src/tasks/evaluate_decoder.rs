//! Evaluates a decoder: loss, perplexity, exact matches and multiple choice.

use std::ops::ControlFlow;

use anyhow::Result;
use grades_models::decoder::{Decoder, Generation};
use grades_models::flops::{BatchShape, Matmuls};
use tch::{Device, Kind};

use super::begin::{BatchRows, begin_decoder};
use crate::cache::{ActivationCache, RowSet};
use crate::config::EvaluationConfig;
use crate::data::sequence::{Sequence, SequenceBatch, Sequences, Vocabulary, collate};
use crate::records::{Evaluation, Metric};

/// The options of an evaluation.
#[derive(Debug)]
pub(super) struct DecoderEvaluation<'a> {
    pub(super) vocabulary: &'a Vocabulary,
    pub(super) batch_size: usize,
    pub(super) options: &'a EvaluationConfig,
}

/// Lists what an evaluation of these examples measures.
pub(super) fn metrics(sequences: &Sequences, options: &EvaluationConfig) -> Vec<Metric> {
    let mut metrics = vec![Metric::Loss, Metric::Perplexity];
    if !sequences.questions.is_empty() {
        metrics.extend([Metric::Accuracy, Metric::AccuracyPerByte]);
    }
    if options.exact_match && sequences.answers {
        metrics.push(Metric::ExactMatch);
    }
    metrics
}

/// Evaluates a decoder on all examples, without dropout and without gradients.
///
/// The loss is the mean over all target tokens, in nats, and the perplexity is its exponential. Of questions,
/// `accuracy` is the share in which the right choice is the most likely one, and `accuracy_per_byte` the same with each
/// choice's log-likelihood divided by its length in bytes. Returns `None` when `stop` says so before a forward pass.
///
/// # Errors
///
/// When the model, the tokenizer or libtorch refuses.
pub(super) fn evaluate_decoder(
    model: &Decoder,
    sequences: &Sequences,
    &DecoderEvaluation { vocabulary, batch_size, options }: &DecoderEvaluation<'_>,
    cache: &mut ActivationCache,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Evaluation>> {
    let start = std::time::Instant::now();
    let all: Vec<&Sequence> = sequences.list.iter().collect();
    let matmuls = model.matmuls(false);
    let mut passes = Passes { model, batch_size, cache, matmuls, flops: 0, stop };
    let Some(losses) = passes.sums(&all, RowSet::Evaluation)? else { return Ok(None) };
    let count: usize = all.iter().map(|sequence| sequence.target_count()).sum();
    let loss = losses.iter().sum::<f64>() / count.max(1) as f64;
    let mut evaluation =
        Evaluation { loss, perplexity: Some(loss.exp()), examples: sequences.len(), ..Evaluation::default() };
    if !sequences.questions.is_empty() {
        let Some((plain, per_byte)) = multiple_choice(sequences, &mut passes)? else { return Ok(None) };
        evaluation.accuracy = Some(plain);
        evaluation.accuracy_per_byte = Some(per_byte);
    }
    if options.exact_match && sequences.answers {
        let options =
            Generation { max_new_tokens: options.max_new_tokens, stop: model.stop_ids(), batch_size };
        let Some(share) = exact_match(&all, vocabulary, &options, &mut passes)? else {
            return Ok(None);
        };
        evaluation.exact_match = Some(share);
    }
    evaluation.flops = passes.flops;
    evaluation.seconds = start.elapsed().as_secs_f64();
    Ok(Some(evaluation))
}

/// Stores the outputs of frozen blocks for all examples and choices, as [`evaluate_decoder`] does.
///
/// # Errors
///
/// When the model or libtorch refuses.
pub(super) fn fill_evaluation(
    model: &Decoder,
    sequences: &Sequences,
    batch_size: usize,
    cache: &mut ActivationCache,
) -> Result<()> {
    let all: Vec<&Sequence> = sequences.list.iter().collect();
    for (set, list) in [(RowSet::Evaluation, all), (RowSet::Choices, choices(sequences))] {
        for rows in order(&list, batch_size) {
            begin(model, &list, &rows, set, cache)?;
        }
    }
    Ok(())
}

/// Returns all choices, question after question.
fn choices(sequences: &Sequences) -> Vec<&Sequence> {
    let choices = sequences.questions.iter().flat_map(|question| &question.choices);
    choices.map(|choice| &choice.sequence).collect()
}

/// Orders sequences into batches, the longest first: if the memory does not suffice, the first batch fails.
fn order(sequences: &[&Sequence], batch_size: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..sequences.len()).collect();
    order.sort_by_key(|&index| {
        std::cmp::Reverse(sequences.get(index).map_or(0, |sequence| sequence.ids.len()))
    });
    order.chunks(batch_size.max(1)).map(<[usize]>::to_vec).collect()
}

/// Makes a batch of these rows of a data set, which begins above the blocks whose outputs are stored; returns the FLOPs that
/// this saves.
fn begin(
    model: &Decoder,
    sequences: &[&Sequence],
    rows: &[usize],
    set: RowSet,
    cache: &mut ActivationCache,
) -> Result<(SequenceBatch, u128)> {
    let alone: Vec<Vec<&Sequence>> =
        rows.iter().filter_map(|&row| sequences.get(row)).map(|&sequence| vec![sequence]).collect();
    let mut batch = collate(&alone, model.device())?;
    let length = alone.iter().flatten().map(|sequence| sequence.ids.len()).max().unwrap_or(0);
    let rows = BatchRows { set, rows, length };
    let saved = begin_decoder(model, &mut batch.tokens, rows, cache)?;
    Ok((batch, saved))
}

/// Runs forward passes: counts their FLOPs, and ends them.
struct Passes<'a> {
    model: &'a Decoder,
    batch_size: usize,
    cache: &'a mut ActivationCache,
    matmuls: Matmuls,
    flops: u128,
    stop: &'a dyn Fn() -> bool,
}

impl Passes<'_> {
    /// Sums the losses of each sequence of a data set; `None` when the passes are ended.
    fn sums(&mut self, sequences: &[&Sequence], set: RowSet) -> Result<Option<Vec<f64>>> {
        let mut sums = vec![0.0; sequences.len()];
        for indices in order(sequences, self.batch_size) {
            if (self.stop)() {
                return Ok(None);
            }
            let (batch, saved) = begin(self.model, sequences, &indices, set, self.cache)?;
            let rows = || indices.iter().filter_map(|&index| sequences.get(index));
            let length = rows().map(|sequence| sequence.ids.len()).max().unwrap_or(0);
            let targets = rows().map(|sequence| sequence.target_count()).sum();
            let flops = self.matmuls.forward(BatchShape::new(indices.len(), length, targets));
            self.flops += flops.saturating_sub(saved);
            let losses = self.model.losses(&batch.tokens, &batch.targets)?;
            let losses = Vec::<f64>::try_from(losses.f_to_kind(Kind::Double)?.f_to_device(Device::Cpu)?)?;
            let mut rest = losses.as_slice();
            for (&index, sequence) in indices.iter().zip(rows()) {
                let (own, others) = rest.split_at(sequence.target_count().min(rest.len()));
                rest = others;
                if let Some(sum) = sums.get_mut(index) {
                    *sum = own.iter().sum();
                }
            }
        }
        Ok(Some(sums))
    }
}

/// Returns the shares of questions whose right choice is the most likely, by likelihood and by likelihood per byte; `None`
/// when the passes are ended.
fn multiple_choice(sequences: &Sequences, passes: &mut Passes<'_>) -> Result<Option<(f64, f64)>> {
    let Some(losses) = passes.sums(&choices(sequences), RowSet::Choices)? else { return Ok(None) };
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
    Ok(Some((plain as f64 / count, per_byte as f64 / count)))
}

/// Returns the share of generated answers that are exactly the response; `None` when the passes are ended.
fn exact_match(
    sequences: &[&Sequence],
    vocabulary: &Vocabulary,
    options: &Generation,
    passes: &mut Passes<'_>,
) -> Result<Option<f64>> {
    let prompts: Vec<Vec<i64>> = sequences
        .iter()
        .map(|sequence| split(sequence).0.iter().map(|&id| i64::from(id)).collect())
        .collect();
    let mut right = 0usize;
    let mut ended = false;
    let Passes { model, matmuls, flops, stop, .. } = passes;
    let answers = model.generate_observed(&prompts, options, &mut |shape| {
        if stop() {
            ended = true;
            return ControlFlow::Break(());
        }
        *flops += matmuls.forward(shape);
        ControlFlow::Continue(())
    })?;
    if ended {
        return Ok(None);
    }
    for (sequence, answer) in sequences.iter().zip(answers) {
        let answer: Vec<u32> = answer.into_iter().filter_map(|id| u32::try_from(id).ok()).collect();
        let (answer, expected) = (vocabulary.decode(&answer)?, vocabulary.decode(split(sequence).1)?);
        right += usize::from(answer.trim() == expected.trim());
    }
    Ok(Some(right as f64 / sequences.len().max(1) as f64))
}

/// Splits a sequence into prompt and answer.
fn split(sequence: &Sequence) -> (&[u32], &[u32]) {
    sequence.ids.split_at(sequence.answer_start().min(sequence.ids.len()))
}
