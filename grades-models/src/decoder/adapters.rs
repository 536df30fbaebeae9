//! Adapters in a decoder.

use std::path::Path;

use grades_lora::{Adapters, LinearLayers, LoraConfig};
use tch::nn::VarStore;

use super::Decoder;
use super::block::Block;
use super::load::LoadOptions;
use crate::error::Result;

/// The blocks, apart from the variables, so that both can be borrowed.
#[derive(Debug)]
pub(super) struct Blocks(pub(super) Vec<Block>);

impl LinearLayers for Blocks {
    fn visit_linear(&mut self, visit: &mut dyn FnMut(&str, &mut grades_lora::Linear)) {
        for (number, block) in self.0.iter_mut().enumerate() {
            block.visit_linear(&mut |name, layer| visit(&format!("model.layers.{number}.{name}"), layer));
        }
    }
}

impl Decoder {
    /// The linear layers of the blocks, under Hugging Face's names, and the variables, to put adapters in.
    ///
    /// ```no_run
    /// # use grades_models::decoder::{Decoder, LoadOptions};
    /// # use grades_lora::{Adapters, LoraConfig};
    /// # let dir = std::path::Path::new("models/mine");
    /// let (mut model, _) = Decoder::load(dir, LoadOptions::default())?;
    /// let (layers, variables) = model.layers_mut();
    /// let mut adapters = Adapters::new();
    /// adapters.add(layers, variables, "default", &LoraConfig::new(8).target_modules(["q_proj", "v_proj"]))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn layers_mut(&mut self) -> (&mut dyn LinearLayers, &VarStore) {
        (&mut self.blocks, &self.store)
    }

    /// Loads a base model and puts the adapter of a folder in, which is then in use.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load), and [`Error::Lora`](crate::Error::Lora) for an adapter that cannot be read or does
    /// not go with the base.
    pub fn load_adapted(base: &Path, adapter: &Path, options: LoadOptions) -> Result<(Self, Adapters)> {
        // What cannot be used at all is said before a large model is read.
        LoraConfig::from_adapter(adapter)?;
        let (mut model, _) = Self::load(base, options)?;
        let (layers, variables) = model.layers_mut();
        let mut adapters = Adapters::new();
        adapters.load(layers, variables, "default", adapter, grades_lora::LoadOptions::default())?;
        Ok((model, adapters))
    }
}
