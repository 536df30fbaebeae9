//! From token ids to hidden states and logits.

use tch::{Kind, Tensor};

use super::Decoder;
use super::attention::Context;
use super::cache::Cache;
use super::mask::{Extent, Masks};
use super::rope::Rotation;
use crate::error::{Error, Result};

/// The tokens of a forward pass, on the model's device.
#[derive(Debug)]
pub struct Tokens {
    /// Token ids `[B, T]`, i64, each below the vocabulary's size (on a GPU a larger one ends the process). Shorter
    /// sequences are padded at the end, with any id: what came before never sees it.
    pub ids: Tensor,
    /// For examples that were packed into common rows: which example each token belongs to, `[B, T]`, i64, and its
    /// position in it, likewise.
    pub packed: Option<Packed>,
}

/// The bounds of examples that share rows.
#[derive(Debug)]
pub struct Packed {
    /// The example of each token, `[B, T]`, i64; tokens of different examples do not see each other.
    pub segments: Tensor,
    /// The position of each token in its example, `[B, T]`, i64.
    pub positions: Tensor,
}

impl From<Tensor> for Tokens {
    fn from(ids: Tensor) -> Self {
        Self { ids, packed: None }
    }
}

impl Decoder {
    /// Computes the logits `[B, T, vocabulary]`, in the model's dtype, without dropout.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for shapes that do not fit or sequences longer than
    /// [`max_positions`](Self::max_positions), [`Error::Torch`] when libtorch refuses.
    pub fn forward(&self, tokens: &Tokens) -> Result<Tensor> {
        self.logits(&self.hidden(tokens)?)
    }

    /// Computes the hidden states after the last norm, `[B, T, hidden]`, without dropout.
    ///
    /// # Errors
    ///
    /// As [`forward`](Self::forward).
    pub fn hidden(&self, tokens: &Tokens) -> Result<Tensor> {
        let context = self.context(tokens, 0, false)?;
        let mut x = self.embed(&tokens.ids)?;
        for block in &self.blocks.0 {
            x = block.forward(&x, &context, None)?;
        }
        Ok(self.norm.forward(&x)?)
    }

    /// Computes the logits of the tokens' last position, `[B, vocabulary]`; the tokens follow those in the cache and
    /// are added to it.
    ///
    /// # Errors
    ///
    /// As [`forward`](Self::forward).
    pub fn forward_cached(&self, ids: &Tensor, cache: &mut Cache) -> Result<Tensor> {
        let tokens = Tokens { ids: ids.shallow_clone(), packed: None };
        let context = self.context(&tokens, cache.len(), false)?;
        let mut x = self.embed(ids)?;
        for (block, layer) in self.blocks.0.iter().zip(&mut cache.layers) {
            x = block.forward(&x, &context, Some(layer))?;
        }
        let last = x.f_narrow(1, x.size()[1] - 1, 1)?.f_squeeze_dim(1)?;
        self.logits(&self.norm.forward(&last)?)
    }

    /// A cache with nothing in it.
    pub fn cache(&self) -> Cache {
        Cache::new(self.blocks.0.len())
    }

    /// Hidden states `[.., hidden]` → logits `[.., vocabulary]`.
    pub(super) fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let kind = self.dtypes.compute;
        Ok(hidden.f_to_kind(kind)?.f_linear(&self.head.f_to_kind(kind)?, None::<&Tensor>)?)
    }

    /// Token ids → vectors; the padding token's row has no gradient.
    pub(super) fn embed(&self, ids: &Tensor) -> Result<Tensor> {
        let padding = self.config.pad_token_id.unwrap_or(-1);
        Ok(Tensor::f_embedding(&self.embedding, ids, padding, false, false)?)
    }

    /// Checks the shapes, and makes what all blocks share; `before` tokens are in a cache.
    pub(super) fn context(&self, tokens: &Tokens, before: i64, train: bool) -> Result<Context> {
        let shape = tokens.ids.size();
        let [_, length] = shape[..] else {
            return Err(Error::Input(format!("ids have shape {shape:?}; expected [batch, tokens]")));
        };
        if let Some(packed) = &tokens.packed {
            for (what, tensor) in [("segments", &packed.segments), ("positions", &packed.positions)] {
                if tensor.size() != shape {
                    let found = tensor.size();
                    return Err(Error::Input(format!("the {what} have shape {found:?}, the ids {shape:?}")));
                }
            }
        }
        let longest = self.config.max_position_embeddings;
        if length == 0 || before + length > longest {
            return Err(Error::Input(format!(
                "a sequence of {} tokens; the model takes 1 to {longest} (\"max_position_embeddings\")",
                before + length
            )));
        }
        let device = self.device();
        let positions = match &tokens.packed {
            Some(packed) => packed.positions.shallow_clone(),
            None => Tensor::f_arange_start(before, before + length, (Kind::Int64, device))?,
        };
        let rotation = Rotation::new(&self.frequencies, &positions, self.dtypes.parameters)?;
        let segments = tokens.packed.as_ref().map(|packed| &packed.segments);
        let window = self.config.windows.iter().flatten().copied().min();
        let masks = Masks::new(&Extent { length, before, segments, window }, device)?;
        Ok(Context { rotation, masks, train })
    }
}
