//! From token ids to hidden states and logits.

use std::ops::Range;

use tch::{Kind, Tensor};

use super::Decoder;
use super::attention::Context;
use super::cache::Cache;
use super::mask::{Extent, Masks};
use super::rope::Rotation;
use crate::error::{Error, Result};
use crate::prefix::Prefix;

/// The tokens of a forward pass, on the model's device.
#[derive(Debug)]
pub struct Tokens {
    /// Token ids `[B, T]`, i64, each below the vocabulary's size (on a GPU a larger one ends the process). Shorter
    /// sequences are padded at the end, with any id: what came before never sees it.
    pub ids: Tensor,
    /// For examples that were packed into common rows: which example each token belongs to, `[B, T]`, i64, and its
    /// position in it, likewise.
    pub packed: Option<Packed>,
    /// The output of the lowest blocks for these tokens, where it is known: the pass begins above them and does not read
    /// the ids.
    pub prefix: Option<Prefix>,
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
        Self { ids, packed: None, prefix: None }
    }
}

impl Tokens {
    /// Returns other handles to the same tensors.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        let packed = self.packed.as_ref().map(|packed| Packed {
            segments: packed.segments.shallow_clone(),
            positions: packed.positions.shallow_clone(),
        });
        let prefix = self.prefix.as_ref().map(Prefix::shallow_clone);
        Self { ids: self.ids.shallow_clone(), packed, prefix }
    }

    /// Returns some of the rows, by their positions in the batch, i64.
    ///
    /// # Errors
    ///
    /// [`Error::Torch`] when libtorch refuses, as for a position beyond the batch.
    pub fn select(&self, rows: &Tensor) -> Result<Self> {
        let select = |tensor: &Tensor| tensor.f_index_select(0, rows);
        let packed = |packed: &Packed| -> Result<Packed> {
            Ok(Packed { segments: select(&packed.segments)?, positions: select(&packed.positions)? })
        };
        let prefix = |prefix: &Prefix| -> Result<Prefix> {
            Ok(Prefix { blocks: prefix.blocks, states: select(&prefix.states)? })
        };
        Ok(Self {
            ids: select(&self.ids)?,
            packed: self.packed.as_ref().map(packed).transpose()?,
            prefix: self.prefix.as_ref().map(prefix).transpose()?,
        })
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
        let (first, x) = self.start(tokens)?;
        Ok(self.norm.forward(&self.run(x, first..self.blocks.list.len(), &context)?)?)
    }

    /// Computes the output of the lowest `blocks` blocks, without dropout and without gradients; begins at the tokens'
    /// prefix, where they have one.
    ///
    /// ```no_run
    /// use grades_models::decoder::{Decoder, LoadOptions, Tokens};
    ///
    /// let dir = std::path::Path::new("models/mine");
    /// let ids = tch::Tensor::from_slice(&[1i64, 5, 6, 2]).view([1, 4]);
    /// let (model, _) = Decoder::load(dir, LoadOptions::default())?;
    /// let mut tokens = Tokens::from(ids);
    /// let whole = model.forward(&tokens)?;
    /// tokens.prefix = Some(model.prefix(&tokens, 2)?);
    /// assert_eq!(model.forward(&tokens)?, whole);
    /// # Ok::<(), grades_models::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`forward`](Self::forward); also [`Error::Input`] when the model has fewer blocks, or the prefix has more.
    pub fn prefix(&self, tokens: &Tokens, blocks: usize) -> Result<Prefix> {
        let context = self.context(tokens, 0, false)?;
        let _no_grad = tch::no_grad_guard();
        let (first, x) = self.start(tokens)?;
        let rest = Prefix::rest(first, blocks, self.blocks.list.len())?;
        Ok(Prefix { blocks, states: self.run(x, rest, &context)? })
    }

    /// Returns the block at which a pass begins, and its input.
    pub(super) fn start(&self, tokens: &Tokens) -> Result<(usize, Tensor)> {
        let Some(prefix) = &tokens.prefix else { return Ok((0, self.embed(&tokens.ids)?)) };
        Prefix::rest(prefix.blocks, self.blocks.list.len(), self.blocks.list.len())?;
        prefix.check(&tokens.ids.size(), self.config.hidden_size, self.dtypes.parameters)?;
        Ok((prefix.blocks, prefix.states.shallow_clone()))
    }

    /// Runs hidden states through these blocks, without dropout of the decoder's own.
    fn run(&self, mut x: Tensor, blocks: Range<usize>, context: &Context) -> Result<Tensor> {
        for block in self.blocks.list.get(blocks).unwrap_or_default() {
            x = block.forward(&x, context, None)?;
        }
        Ok(x)
    }

    /// Computes the logits of the tokens' last position, `[B, vocabulary]`; the tokens follow those in the cache and
    /// are added to it.
    ///
    /// # Errors
    ///
    /// As [`forward`](Self::forward).
    pub fn forward_cached(&self, ids: &Tensor, cache: &mut Cache) -> Result<Tensor> {
        self.forward_padded(ids, None, cache)
    }

    /// As [`forward_cached`](Self::forward_cached), for rows that are padded on the left up to `starts`, `[B]`, i64.
    pub(super) fn forward_padded(
        &self,
        ids: &Tensor,
        starts: Option<&Tensor>,
        cache: &mut Cache,
    ) -> Result<Tensor> {
        let tokens = Tokens::from(ids.shallow_clone());
        let context = self.padded_context(&tokens, cache.len(), starts, false)?;
        let mut x = self.embed(ids)?;
        for (block, layer) in self.blocks.list.iter().zip(&mut cache.layers) {
            x = block.forward(&x, &context, Some(layer))?;
        }
        let last = x.f_narrow(1, x.size()[1] - 1, 1)?.f_squeeze_dim(1)?;
        self.logits(&self.norm.forward(&last)?)
    }

    /// Creates an empty cache.
    pub fn cache(&self) -> Cache {
        Cache::new(self.blocks.list.len())
    }

    /// Turns hidden states `[.., hidden]` into logits `[.., vocabulary]`.
    pub(super) fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let kind = self.dtypes.compute;
        Ok(hidden.f_to_kind(kind)?.f_linear(&self.head.f_to_kind(kind)?, None::<&Tensor>)?)
    }

    /// Turns token ids into vectors; the padding token's row has no gradient, and none has with a detached input.
    pub(super) fn embed(&self, ids: &Tensor) -> Result<Tensor> {
        let padding = self.config.pad_token_id.unwrap_or(-1);
        let table = &self.embedding;
        let table = if self.input_detached { table.f_detach()? } else { table.shallow_clone() };
        Ok(Tensor::f_embedding(&table, ids, padding, false, false)?)
    }

    /// Checks the shapes, and makes what all blocks share; `before` tokens are in a cache.
    pub(super) fn context(&self, tokens: &Tokens, before: i64, train: bool) -> Result<Context> {
        self.padded_context(tokens, before, None, train)
    }

    /// As [`context`](Self::context), for rows that are padded on the left up to `starts`.
    fn padded_context(
        &self,
        tokens: &Tokens,
        before: i64,
        starts: Option<&Tensor>,
        train: bool,
    ) -> Result<Context> {
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
        // Padding takes no position; who pads counts the tokens.
        if length == 0 || (starts.is_none() && before + length > longest) {
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
        // A row's positions count from its first token.
        let positions = match starts {
            Some(starts) => positions.f_unsqueeze(0)?.f_sub(&starts.f_unsqueeze(-1)?)?.f_clamp_min(0)?,
            None => positions,
        };
        let rotation = Rotation::new(&self.frequencies, &positions, self.dtypes.parameters)?;
        let segments = tokens.packed.as_ref().map(|packed| &packed.segments);
        let window = self.config.windows.iter().flatten().copied().min();
        let masks = Masks::new(&Extent { length, before, segments, window, starts }, device)?;
        Ok(Context { rotation, masks, train })
    }
}
