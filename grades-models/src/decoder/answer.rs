//! Answers prompts of different lengths together.

use std::ops::ControlFlow;

use tch::{Device, Kind, Tensor};

use super::Decoder;
use super::cache::Cache;
use super::generate::Generation;
use super::sampling::{Chooser, Sampling};
use crate::error::{Error, Result};

/// Receives each token with the position of its prompt; a `Break` ends that answer.
pub type OnToken<'a> = dyn FnMut(usize, i64) -> Result<ControlFlow<()>> + 'a;

impl Decoder {
    /// Answers each prompt until a stop token, which is part of the answer, or one of the limits, or until `on_token` breaks.
    ///
    /// Prompts of like length run together, padded on the left; the padding is never seen, so that an answer is the one that
    /// its prompt has alone, to rounding.
    ///
    /// ```no_run
    /// use std::ops::ControlFlow;
    ///
    /// use grades_models::decoder::{Decoder, Generation, LoadOptions, Sampling};
    ///
    /// let (model, _) = Decoder::load("models/mine".as_ref(), LoadOptions::default())?;
    /// let limits = Generation { max_new_tokens: 20, stop: model.stop_ids(), batch_size: 8 };
    /// let sampling = Sampling { temperature: 0.7, top_p: 0.9, seed: 1, ..Sampling::default() };
    /// let answers =
    ///     model.answer(&[vec![1, 5, 6], vec![1, 7]], &limits, &sampling, &mut |_, _| Ok(ControlFlow::Continue(())))?;
    /// assert_eq!(answers.len(), 2);
    /// # Ok::<(), grades_models::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`generate`](Self::generate); also [`Error::Input`] for a sampling out of its range, and the errors of `on_token`.
    pub fn answer(
        &self,
        prompts: &[Vec<i64>],
        limits: &Generation,
        sampling: &Sampling,
        on_token: &mut OnToken<'_>,
    ) -> Result<Vec<Vec<i64>>> {
        sampling.check()?;
        self.check_prompts(prompts)?;
        let _no_grad = tch::no_grad_guard();
        let mut order: Vec<usize> = (0..prompts.len()).collect();
        let length = |index: usize| prompts.get(index).map_or(0, Vec::len);
        // The longest first: if the memory does not suffice, the first batch fails.
        order.sort_by_key(|&index| std::cmp::Reverse(length(index)));
        let mut answers = vec![Vec::new(); prompts.len()];
        for rows in order.chunks(limits.batch_size.max(1)) {
            self.answer_batch(prompts, rows, limits, sampling, &mut answers, on_token)?;
        }
        Ok(answers)
    }

    /// Answers the prompts at these positions together.
    fn answer_batch(
        &self,
        prompts: &[Vec<i64>],
        rows: &[usize],
        limits: &Generation,
        sampling: &Sampling,
        answers: &mut [Vec<i64>],
        on_token: &mut OnToken<'_>,
    ) -> Result<()> {
        let own = |row: usize| prompts.get(row).map(Vec::as_slice).unwrap_or_default();
        let width = rows.iter().map(|&row| own(row).len()).max().unwrap_or(0);
        let longest = usize::try_from(self.max_positions()).unwrap_or(usize::MAX);
        let padding = |row: usize| width - own(row).len();
        let padded: Vec<i64> = rows
            .iter()
            .flat_map(|&row| std::iter::repeat_n(0, padding(row)).chain(own(row).iter().copied()))
            .collect();
        let too_long = |_| Error::Input("a prompt too long".into());
        let starts: Vec<i64> = rows
            .iter()
            .map(|&row| i64::try_from(padding(row)))
            .collect::<Result<_, _>>()
            .map_err(too_long)?;
        let device = self.device();
        let mut starts = if starts.iter().any(|&start| start > 0) {
            Some(Tensor::f_from_slice(&starts)?.f_to_device(device)?)
        } else {
            None
        };
        let width = i64::try_from(width).map_err(too_long)?;
        let mut ids = Tensor::f_from_slice(&padded)?.f_view([-1, width])?.f_to_device(device)?;
        let mut cache = self.cache();
        let mut active: Vec<(usize, Chooser)> =
            rows.iter().map(|&row| (row, Chooser::new(sampling, row))).collect();
        while !active.is_empty() {
            let logits = self.forward_padded(&ids, starts.as_ref(), &mut cache)?.f_to_kind(Kind::Float)?;
            let chosen = choose(&logits, sampling, &mut active, |row| {
                own(row).iter().chain(answers.get(row).into_iter().flatten()).copied().collect()
            })?;
            let mut kept = Vec::new();
            for (position, (token, &(row, _))) in (0i64..).zip(chosen.iter().zip(&active)) {
                let goes_on = on_token(row, *token)?.is_continue();
                let Some(answer) = answers.get_mut(row) else { continue };
                answer.push(*token);
                let room = answer.len() < limits.max_new_tokens && own(row).len() + answer.len() < longest;
                if goes_on && room && !limits.stop.contains(token) {
                    kept.push(position);
                }
            }
            ids = Tensor::f_from_slice(&chosen)?.f_unsqueeze(-1)?.f_to_device(device)?;
            if kept.len() < active.len() {
                let rows = Tensor::f_from_slice(&kept)?.f_to_device(device)?;
                (ids, starts) = select(&ids, starts.as_ref(), &mut cache, &rows)?;
                let mut position = -1;
                active.retain(|_| {
                    position += 1;
                    kept.contains(&position)
                });
            }
        }
        Ok(())
    }
}

/// Chooses a token for each row.
fn choose(
    logits: &Tensor,
    sampling: &Sampling,
    active: &mut [(usize, Chooser)],
    before: impl Fn(usize) -> Vec<i64>,
) -> Result<Vec<i64>> {
    if sampling.is_plain() {
        return Ok(Vec::<i64>::try_from(logits.f_argmax(-1, false)?.f_to_device(Device::Cpu)?)?);
    }
    let width = logits.size().last().copied().and_then(|width| usize::try_from(width).ok()).unwrap_or(1);
    let values = Vec::<f32>::try_from(logits.f_to_device(Device::Cpu)?.f_contiguous()?.f_view(-1)?)?;
    let rows = values.chunks(width.max(1)).zip(active);
    rows.map(|(logits, (row, chooser))| {
        let seen = if sampling.repetition_penalty == 1.0 { Vec::new() } else { before(*row) };
        let chosen = chooser.choose(&sampling.probabilities(logits, &seen));
        i64::try_from(chosen).map_err(|_| Error::Input("a token beyond the vocabulary".into()))
    })
    .collect()
}

/// Keeps some rows of a batch.
fn select(
    ids: &Tensor,
    starts: Option<&Tensor>,
    cache: &mut Cache,
    rows: &Tensor,
) -> Result<(Tensor, Option<Tensor>)> {
    cache.select(rows)?;
    let starts = starts.map(|starts| starts.f_index_select(0, rows)).transpose()?;
    Ok((ids.f_index_select(0, rows)?, starts))
}
