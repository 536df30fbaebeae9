//! The interface that training asks of a model, whatever its family.

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

impl Model for BertClassifier {
    fn var_store(&self) -> &VarStore {
        self.var_store()
    }

    fn layers_mut(&mut self) -> (&mut dyn LinearLayers, &VarStore) {
        self.layers_mut()
    }

    fn matmuls(&self, _activation_checkpointing: bool) -> Matmuls {
        self.matmuls()
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

impl Model for Decoder {
    fn var_store(&self) -> &VarStore {
        self.var_store()
    }

    fn layers_mut(&mut self) -> (&mut dyn LinearLayers, &VarStore) {
        self.layers_mut()
    }

    fn matmuls(&self, activation_checkpointing: bool) -> Matmuls {
        self.matmuls(activation_checkpointing)
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
