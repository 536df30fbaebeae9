//! Computes the loss over the targets, without logits of the whole batch in memory.

use tch::{Kind, Reduction, Tensor};

use super::Decoder;
use super::forward::Tokens;
use crate::error::{Error, Result};

/// The tokens that a forward pass predicts, on the model's device.
#[derive(Debug)]
pub struct Targets {
    /// The positions from which a token is predicted, i64 `[N]`, in `[B, T]` row after row: `row · T + column`.
    pub positions: Tensor,
    /// The token that follows each of them, i64 `[N]`.
    pub ids: Tensor,
}

impl Decoder {
    /// Computes the cross-entropy of each target in nats, f32 `[N]`, without gradients and without dropout.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for shapes that do not fit or no target, [`Error::Torch`] when libtorch refuses.
    pub fn losses(&self, tokens: &Tokens, targets: &Targets) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        let hidden = self.select(&self.hidden(tokens)?, targets)?;
        let mut losses = Vec::new();
        for (hidden, ids) in self.pieces(&hidden, targets)? {
            losses.push(self.cross_entropy(&hidden, &ids, Reduction::None)?);
        }
        Ok(Tensor::f_cat(&losses, 0)?)
    }

    /// Returns whether the most likely token at each target's position is the target, bool `[N]`.
    ///
    /// # Errors
    ///
    /// As [`losses`](Self::losses).
    pub fn hits(&self, tokens: &Tokens, targets: &Targets) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        let hidden = self.select(&self.hidden(tokens)?, targets)?;
        let mut hits = Vec::new();
        for (hidden, ids) in self.pieces(&hidden, targets)? {
            hits.push(self.logits(&hidden)?.f_argmax(-1, false)?.f_eq_tensor(&ids)?);
        }
        Ok(Tensor::f_cat(&hits, 0)?)
    }

    /// Returns the hidden states of the targets' positions, `[N, hidden]`.
    pub(super) fn select(&self, hidden: &Tensor, targets: &Targets) -> Result<Tensor> {
        let (positions, ids) = (targets.positions.size(), targets.ids.size());
        if positions != ids || positions.len() != 1 || targets.positions.numel() == 0 {
            return Err(Error::Input(format!(
                "the targets' positions have shape {positions:?}, their ids {ids:?}; expected one number of both, at least 1"
            )));
        }
        let flat = hidden.f_reshape([-1, self.config.hidden_size])?;
        Ok(flat.f_index_select(0, &targets.positions)?)
    }

    /// Returns hidden states and ids a piece at a time, so small that the logits of one take 128 MiB at most.
    pub(super) fn pieces(&self, hidden: &Tensor, targets: &Targets) -> Result<Vec<(Tensor, Tensor)>> {
        const LOGITS: i64 = 1 << 25;
        let rows = (LOGITS / self.config.vocab_size).max(16);
        Ok(hidden.f_split(rows, 0)?.into_iter().zip(targets.ids.f_split(rows, 0)?).collect())
    }

    /// Computes the cross-entropy of one piece, in f32.
    pub(super) fn cross_entropy(
        &self,
        hidden: &Tensor,
        ids: &Tensor,
        reduction: Reduction,
    ) -> Result<Tensor> {
        let logits = self.logits(hidden)?;
        let logits = if self.dtype() == Kind::Double { logits } else { logits.f_to_kind(Kind::Float)? };
        Ok(logits.f_cross_entropy_loss(ids, None::<&Tensor>, reduction, -100, 0.0)?)
    }
}
