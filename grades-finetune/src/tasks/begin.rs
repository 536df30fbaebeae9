//! Begins passes above the frozen blocks whose outputs are stored.

use anyhow::Result;
use grades_models::Prefix;
use grades_models::bert::BertClassifier;
use grades_models::decoder::{Decoder, Tokens};
use tch::Tensor;

use crate::cache::{ActivationCache, RowSet};
use crate::data::Batch;

/// The rows of a batch, by their numbers in a data set.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchRows<'a> {
    /// The data set.
    pub(super) set: RowSet,
    /// Their numbers.
    pub(super) rows: &'a [usize],
    /// The tokens of a row, padding included.
    pub(super) length: usize,
}

/// Sets the block at which a decoder's pass begins; returns the FLOPs that this saves.
///
/// # Errors
///
/// When the model or libtorch refuses.
pub(super) fn begin_decoder(
    model: &Decoder,
    tokens: &mut Tokens,
    batch: BatchRows<'_>,
    cache: &mut ActivationCache,
) -> Result<u128> {
    let compute = &mut |rows: Option<&Tensor>, from: Option<Prefix>, blocks: usize| {
        let mut some = match rows {
            Some(rows) => tokens.select(rows)?,
            None => tokens.shallow_clone(),
        };
        some.prefix = from;
        Ok(model.prefix(&some, blocks)?)
    };
    let Some(fetched) = cache.fetch(batch.set, batch.rows, batch.length, model, compute)? else {
        return Ok(0);
    };
    tokens.prefix = Some(fetched.prefix);
    Ok(fetched.saved_flops)
}

/// Returns the input of the first block of a classifier's pass, unless it begins at the bottom, and the FLOPs that this
/// saves.
///
/// # Errors
///
/// When the model or libtorch refuses.
pub(super) fn begin_classifier(
    model: &BertClassifier,
    sentences: &Batch,
    batch: BatchRows<'_>,
    cache: &mut ActivationCache,
) -> Result<(Option<Prefix>, u128)> {
    let compute = &mut |rows: Option<&Tensor>, from: Option<Prefix>, blocks: usize| {
        let some = |tensor: &Tensor| match rows {
            Some(rows) => tensor.f_index_select(0, rows),
            None => Ok(tensor.shallow_clone()),
        };
        let mask = some(&sentences.mask)?;
        Ok(match (from, &sentences.types) {
            (Some(from), _) => model.extend_prefix(&from, &mask, blocks)?,
            (None, Some(types)) => {
                model.prefix_pairs(&some(&sentences.ids)?, &some(types)?, &mask, blocks)?
            }
            (None, None) => model.prefix(&some(&sentences.ids)?, &mask, blocks)?,
        })
    };
    let fetched = cache.fetch(batch.set, batch.rows, batch.length, model, compute)?;
    Ok(match fetched {
        Some(fetched) => (Some(fetched.prefix), fetched.saved_flops),
        None => (None, 0),
    })
}
