//! Generates answers greedily.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde_json::Value;
use tch::{Kind, Tensor};

use super::Decoder;
use crate::error::{Error, Result};
use crate::files::parse_json;
use crate::flops::BatchShape;

/// Limits of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// No more tokens than this.
    pub max_new_tokens: usize,
    /// The tokens that end an answer; see [`Decoder::stop_ids`].
    pub stop: Vec<i64>,
    /// How many prompts of one length are answered together.
    pub batch_size: usize,
}

impl Decoder {
    /// Returns the tokens that end an answer: `eos_token_id` of `generation_config.json`, or else of `config.json`.
    pub fn stop_ids(&self) -> Vec<i64> {
        let file = self.sidecars.get("generation_config.json");
        let file = file.and_then(|bytes| parse_json::<Value>(bytes).ok());
        let ids = file.as_ref().and_then(|value| value.get("eos_token_id")).and_then(|value| match value {
            Value::Array(list) => Some(list.iter().filter_map(Value::as_i64).collect()),
            value => value.as_i64().map(|id| vec![id]),
        });
        ids.unwrap_or_else(|| self.config.eos_token_ids.clone())
    }

    /// Continues each prompt by the most likely token, one after the other, until a stop token, which is part of the
    /// answer, or one of the limits. Of equally likely tokens the lowest_finite id is taken.
    ///
    /// Each token is computed once; prompts of the same length run together. The answers are those of
    /// `generate(do_sample=False)` in `transformers`, as long as no other generation setting (penalties, beams) is on.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for an empty prompt, a prompt that leaves no room, or an id beyond the vocabulary;
    /// [`Error::Torch`] when libtorch refuses.
    pub fn generate(&self, prompts: &[Vec<i64>], options: &Generation) -> Result<Vec<Vec<i64>>> {
        self.generate_observed(prompts, options, &mut |_| ControlFlow::Continue(()))
    }

    /// Generates as [`generate`](Self::generate) does, and calls `pass` with the shape of each forward pass before it,
    /// to count its FLOPs. A `Break` ends the generation: the answers are those so far.
    ///
    /// # Errors
    ///
    /// As [`generate`](Self::generate).
    pub fn generate_observed(
        &self,
        prompts: &[Vec<i64>],
        options: &Generation,
        pass: &mut dyn FnMut(BatchShape) -> ControlFlow<()>,
    ) -> Result<Vec<Vec<i64>>> {
        self.check_prompts(prompts)?;
        let longest = usize::try_from(self.max_positions()).unwrap_or(usize::MAX);
        let mut lengths: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, prompt) in prompts.iter().enumerate() {
            lengths.entry(prompt.len()).or_default().push(index);
        }
        let _no_grad = tch::no_grad_guard();
        let mut answers = vec![Vec::new(); prompts.len()];
        for (length, indices) in lengths {
            let room = options.max_new_tokens.min(longest - length);
            for indices in indices.chunks(options.batch_size.max(1)) {
                let rows: Vec<&[i64]> =
                    indices.iter().filter_map(|&index| prompts.get(index).map(Vec::as_slice)).collect();
                let (found, next) = self.answers(&rows, (length, room), &options.stop, pass)?;
                for (&index, answer) in indices.iter().zip(found) {
                    if let Some(slot) = answers.get_mut(index) {
                        *slot = answer;
                    }
                }
                if next.is_break() {
                    return Ok(answers);
                }
            }
        }
        Ok(answers)
    }

    /// Checks that each prompt has tokens, room for an answer and no id beyond the vocabulary.
    pub(super) fn check_prompts(&self, prompts: &[Vec<i64>]) -> Result<()> {
        let longest = usize::try_from(self.max_positions()).unwrap_or(usize::MAX);
        for (index, prompt) in prompts.iter().enumerate() {
            if prompt.is_empty() || prompt.len() >= longest {
                return Err(Error::Input(format!(
                    "prompt {index} has {} tokens; expected 1 to {} (\"max_position_embeddings\" less one)",
                    prompt.len(),
                    longest - 1
                )));
            }
            if let Some(id) = prompt.iter().find(|id| !(0..self.vocab_size()).contains(*id)) {
                let last = self.vocab_size() - 1;
                return Err(Error::Input(format!(
                    "prompt {index} has the id {id}; the vocabulary has 0 to {last}"
                )));
            }
        }
        Ok(())
    }

    /// Answers prompts of one length, with at most `room` tokens each; returns the answers, and whether to go on.
    fn answers(
        &self,
        prompts: &[&[i64]],
        (length, room): (usize, usize),
        stop: &[i64],
        pass: &mut dyn FnMut(BatchShape) -> ControlFlow<()>,
    ) -> Result<(Vec<Vec<i64>>, ControlFlow<()>)> {
        let width = i64::try_from(length).map_err(|_| Error::Input("a prompt too long".into()))?;
        let mut ids =
            Tensor::f_from_slice(&prompts.concat())?.f_view([-1, width])?.f_to_device(self.device())?;
        let mut cache = self.cache();
        let mut answers = vec![Vec::new(); prompts.len()];
        // The rows of the batch that are still answering.
        let mut active: Vec<usize> = (0..prompts.len()).collect();
        for step in 0..room {
            let next = pass(match step {
                0 => BatchShape::new(active.len(), length, active.len()),
                _ => BatchShape::cached(active.len(), 1, length + step - 1, active.len()),
            });
            if next.is_break() {
                return Ok((answers, next));
            }
            let next = self.forward_cached(&ids, &mut cache)?.f_to_kind(Kind::Float)?.f_argmax(-1, false)?;
            let tokens = Vec::<i64>::try_from(next.f_to_device(tch::Device::Cpu)?)?;
            let mut kept = Vec::new();
            for (row, (&prompt, &token)) in (0i64..).zip(active.iter().zip(&tokens)) {
                if let Some(answer) = answers.get_mut(prompt) {
                    answer.push(token);
                }
                if !stop.contains(&token) {
                    kept.push((row, prompt));
                }
            }
            if kept.is_empty() {
                break;
            }
            ids = next.f_unsqueeze(-1)?;
            if kept.len() < active.len() {
                let rows: Vec<i64> = kept.iter().map(|(row, _)| *row).collect();
                let rows = Tensor::f_from_slice(&rows)?.f_to_device(self.device())?;
                cache.select(&rows)?;
                ids = ids.f_index_select(0, &rows)?;
                active = kept.into_iter().map(|(_, prompt)| prompt).collect();
            }
        }
        Ok((answers, ControlFlow::Continue(())))
    }
}
