//! The output of the lowest blocks of a model, from which a forward pass can go on.

use std::ops::Range;

use tch::{Kind, Tensor};

use crate::error::{Error, Result};

/// The output of the lowest blocks for a batch.
///
/// Where the embeddings and these blocks are frozen, it is the same whenever the batch is computed, so it can be stored
/// once and a pass begins above them: [`BertClassifier::forward_from`](crate::bert::BertClassifier::forward_from),
/// [`Tokens::prefix`](crate::decoder::Tokens::prefix). A pass that is split so has the same bits as a whole one of the same
/// batch without dropout.
#[derive(Debug)]
pub struct Prefix {
    /// The number of blocks, counted from the bottom; with 0 the states are the embeddings.
    pub blocks: usize,
    /// The hidden states `[B, T, hidden]`, in the model's dtype and on its device. Those of padding have no effect, but must
    /// be finite.
    pub states: Tensor,
}

impl Prefix {
    /// Returns another handle to the same states.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        Self { blocks: self.blocks, states: self.states.shallow_clone() }
    }

    /// Returns the blocks that a pass from here to `end` runs, of a model of `all` blocks.
    pub(crate) fn rest(start: usize, end: usize, all: usize) -> Result<Range<usize>> {
        if start <= end && end <= all {
            return Ok(start..end);
        }
        Err(Error::Input(format!(
            "a pass from block {start} to block {end}; expected two numbers in order, up to the model's {all} blocks"
        )))
    }

    /// Checks the states against the batch and the model.
    pub(crate) fn check(&self, batch: &[i64], width: i64, dtype: Kind) -> Result<()> {
        let (found, kind) = (self.states.size(), self.states.f_kind()?);
        let expected: Vec<i64> = batch.iter().copied().chain([width]).collect();
        if found == expected && kind == dtype {
            return Ok(());
        }
        Err(Error::Input(format!(
            "the hidden states of a prefix have shape {found:?} and dtype {kind:?}; expected {expected:?} and {dtype:?}"
        )))
    }
}
