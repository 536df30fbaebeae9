//! The decoder as a whole.

use std::ops::Range;

use grades_lora::Cast;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::block::Block;
use super::blocks::Blocks;
use super::config::DecoderConfig;
use super::layers::RmsNorm;
use crate::error::Result;
use crate::files::{Dtypes, Sidecars, variable};
use crate::flops::{Matmuls, Per};

/// A decoder that predicts the next token.
#[derive(Debug)]
pub struct Decoder {
    pub(super) store: VarStore,
    pub(super) embedding: Tensor,
    /// Whether the embedding gets no gradient as the input; as a tied output matrix it still does.
    pub(super) input_detached: bool,
    pub(super) blocks: Blocks,
    pub(super) norm: RmsNorm,
    /// The output matrix; the embedding's where they are tied.
    pub(super) head: Tensor,
    /// The output matrix in the dtype of matmuls.
    pub(super) head_cast: Cast,
    pub(super) frequencies: Tensor,
    pub(super) config: DecoderConfig,
    pub(super) dtypes: Dtypes,
    pub(super) sidecars: Sidecars,
}

impl Decoder {
    /// Creates a decoder whose variables are not filled yet; `fused` for the variables of Phi-3.
    pub(super) fn empty(
        config: DecoderConfig,
        sidecars: Sidecars,
        device: Device,
        dtypes: Dtypes,
        fused: bool,
    ) -> Result<Self> {
        let mut store = VarStore::new(device);
        // Sets the dtype of later variables; there are none yet to convert.
        store.set_kind(dtypes.parameters);
        let root = store.root();
        let base = root.sub("model");
        let table = [config.vocab_size, config.hidden_size];
        let embedding = variable(&base.sub("embed_tokens"), "weight", &table, dtypes.parameters)?;
        let layers = base.sub("layers");
        let blocks = (0..config.num_hidden_layers)
            .map(|layer| Block::new(&layers.sub(layer.to_string()), &config, layer, fused, dtypes));
        let blocks = blocks.collect::<Result<Vec<_>>>()?;
        let norm = RmsNorm::new(&base.sub("norm"), config.hidden_size, config.rms_norm_eps, dtypes)?;
        let head = if config.tie_word_embeddings {
            embedding.shallow_clone()
        } else {
            variable(&root.sub("lm_head"), "weight", &table, dtypes.parameters)?
        };
        let frequencies = config.rope.frequencies(device)?;
        let blocks = Blocks { list: blocks, tied: config.tie_word_embeddings };
        let input_detached = false;
        Ok(Self {
            store,
            embedding,
            input_detached,
            blocks,
            norm,
            head,
            head_cast: Cast::default(),
            frequencies,
            config,
            dtypes,
            sidecars,
        })
    }

    /// Returns the variables, under Hugging Face's names (`model.layers.0.self_attn.q_proj.weight`, …); the parts of fused
    /// matrices have those of separate ones where they were split at load.
    pub fn var_store(&self) -> &VarStore {
        &self.store
    }

    /// Returns the variables, to freeze them or to build an optimizer on them.
    ///
    /// Do not move them to another device or dtype: the model was built for the ones it was loaded with.
    pub fn var_store_mut(&mut self) -> &mut VarStore {
        &mut self.store
    }

    /// Detaches the input side of the embedding, or attaches it again: tokens are still looked up in it, but no gradient
    /// comes back through them.
    ///
    /// Where the embedding is the output matrix as well, that side goes on training. A backward pass then ends at the lowest
    /// block that trains, as it does below frozen embeddings.
    pub fn set_input_detached(&mut self, detached: bool) {
        self.input_detached = detached;
    }

    /// Returns the matmuls of a training step, for the parameters that are frozen and the adapters that are merged now.
    /// With `activation_checkpointing` the backward pass computes blocks once more, down to the lowest that trains.
    pub fn matmuls(&self, activation_checkpointing: bool) -> Matmuls {
        let mut matmuls = Matmuls::default();
        let mut x = self.embedding.requires_grad() && !self.input_detached;
        for block in &self.blocks.list {
            let mut own = Matmuls::default();
            x = block.matmuls(&mut own, x);
            matmuls.extend(&own);
            if activation_checkpointing && x {
                matmuls.recompute(&own);
            }
        }
        let x = x || self.norm.is_trained();
        let size =
            [self.config.hidden_size, self.config.vocab_size].map(|side| u64::try_from(side).unwrap_or(0));
        matmuls.add(Per::Target, size[0] * size[1], x, self.head.requires_grad());
        matmuls
    }

    /// Returns the matmuls of these blocks alone, counted from the bottom: what a pass that begins above them saves forward.
    pub fn block_matmuls(&self, blocks: Range<usize>) -> Matmuls {
        let mut matmuls = Matmuls::default();
        for block in self.blocks.list.get(blocks).unwrap_or_default() {
            block.matmuls(&mut matmuls, false);
        }
        matmuls
    }

    /// Returns the number of lowest blocks whose output no longer changes: nothing trains in them or in the embedding.
    pub fn frozen_blocks(&self) -> usize {
        if self.embedding.requires_grad() {
            return 0;
        }
        self.blocks.list.iter().take_while(|block| !block.matmuls(&mut Matmuls::default(), false)).count()
    }

    /// Returns the model's configuration.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Returns the longest sequence, in tokens.
    pub fn max_positions(&self) -> i64 {
        self.config.max_position_embeddings
    }

    /// Returns the number of token ids.
    pub fn vocab_size(&self) -> i64 {
        self.config.vocab_size
    }

    /// Returns the device of the variables.
    pub fn device(&self) -> Device {
        self.store.device()
    }

    /// Returns the dtype of the variables.
    pub fn dtype(&self) -> Kind {
        self.dtypes.parameters
    }
}
