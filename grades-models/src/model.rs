//! The interface that training asks of a model, whatever its family.

use std::ops::Range;
use std::path::Path;

use grades_lora::LinearLayers;
use tch::nn::VarStore;
use tch::{Device, Kind};

use crate::bert::BertClassifier;
use crate::decoder::Decoder;
use crate::error::Result;
use crate::flops::Matmuls;

/// A model that can be trained, adapted and saved, whatever its family.
///
/// Forward passes differ by family: see [`BertClassifier::forward`] and [`Decoder::backward`].
pub trait Model {
    /// Returns the variables, under Hugging Face's names.
    fn var_store(&self) -> &VarStore;

    /// Returns the linear layers, under Hugging Face's names, and the variables: what
    /// [`Adapters`](grades_lora::Adapters) needs.
    fn layers_mut(&mut self) -> (&mut dyn LinearLayers, &VarStore);

    /// Returns the matmuls of a training step, for the parameters that are frozen and the adapters that are merged now.
    ///
    /// With `activation_checkpointing` a decoder's backward pass computes its blocks once more. BERT has no activation
    /// checkpointing, so its count is the same either way.
    fn matmuls(&self, activation_checkpointing: bool) -> Matmuls;

    /// Returns the matmuls of these blocks alone, counted from the bottom: what a pass that begins above them saves forward.
    fn block_matmuls(&self, blocks: Range<usize>) -> Matmuls;

    /// Returns the number of blocks.
    fn blocks(&self) -> usize;

    /// Returns the number of lowest blocks whose output no longer changes: nothing trains in them or in the embeddings.
    ///
    /// It is 0 while the embeddings train. Adapters count as a part of their layer.
    fn frozen_blocks(&self) -> usize;

    /// Returns the width of the hidden states.
    fn hidden_size(&self) -> i64;

    /// Returns the device of the variables.
    fn device(&self) -> Device;

    /// Returns the dtype of the variables.
    fn dtype(&self) -> Kind;

    /// Returns the length of the longest sequence, in tokens.
    fn max_positions(&self) -> i64;

    /// Returns the number of token ids.
    fn vocab_size(&self) -> i64;

    /// Writes a model directory that `transformers` loads: configuration, weights, the tokenizer's files.
    ///
    /// # Errors
    ///
    /// [`Error::Write`](crate::Error::Write) naming the file that could not be written (the old files are then
    /// unchanged), [`Error::Input`](crate::Error::Input) when adapters are in the model,
    /// [`Error::Torch`](crate::Error::Torch) when a variable cannot be read.
    fn save(&self, dir: &Path) -> Result<()>;
}

/// Implements [`Model`] by the type's own methods of the same names; the count of matmuls is given.
macro_rules! model {
    ($model:ty, $matmuls:expr) => {
        impl Model for $model {
            fn var_store(&self) -> &VarStore {
                self.var_store()
            }

            fn layers_mut(&mut self) -> (&mut dyn LinearLayers, &VarStore) {
                self.layers_mut()
            }

            fn matmuls(&self, activation_checkpointing: bool) -> Matmuls {
                let matmuls: fn(&$model, bool) -> Matmuls = $matmuls;
                matmuls(self, activation_checkpointing)
            }

            fn block_matmuls(&self, blocks: Range<usize>) -> Matmuls {
                self.block_matmuls(blocks)
            }

            fn blocks(&self) -> usize {
                self.config().num_hidden_layers
            }

            fn frozen_blocks(&self) -> usize {
                self.frozen_blocks()
            }

            fn hidden_size(&self) -> i64 {
                self.config().hidden_size
            }

            fn device(&self) -> Device {
                self.device()
            }

            fn dtype(&self) -> Kind {
                self.dtype()
            }

            fn max_positions(&self) -> i64 {
                self.max_positions()
            }

            fn vocab_size(&self) -> i64 {
                self.vocab_size()
            }

            fn save(&self, dir: &Path) -> Result<()> {
                self.save(dir)
            }
        }
    };
}

model!(BertClassifier, |model, _| model.matmuls());
model!(Decoder, |model, activation_checkpointing| model.matmuls(activation_checkpointing));
