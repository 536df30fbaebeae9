//! Adds adapters to a decoder.

use std::path::Path;

use grades_lora::{Adapters, LinearLayers, LoraConfig};
use tch::nn::VarStore;

use super::Decoder;
use super::config::DecoderConfig;
use super::load::LoadOptions;
use crate::error::Result;
use crate::files::variable;

impl Decoder {
    /// Returns the linear layers of the blocks, under Hugging Face's names, and the variables, for adapters.
    ///
    /// ```no_run
    /// use grades_lora::{Adapters, LoraConfig};
    /// use grades_models::decoder::{Decoder, LoadOptions};
    ///
    /// let dir = std::path::Path::new("models/mine");
    /// let (mut model, _) = Decoder::load(dir, LoadOptions::default())?;
    /// let (layers, variables) = model.layers_mut();
    /// let mut adapters = Adapters::new();
    /// adapters.add(layers, variables, "default", &LoraConfig::new(8).target_modules(["q_proj", "v_proj"]))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn layers_mut(&mut self) -> (&mut dyn LinearLayers, &VarStore) {
        (&mut self.blocks, &self.store)
    }

    /// Prepares the model for an adapter of this configuration, which is not added yet.
    ///
    /// An adapter that has an embedding or an output matrix of its own (`modules_to_save`) changes that alone, as in PEFT:
    /// where the two are tied, the output matrix becomes a copy, `lm_head.weight`, that is frozen unless the adapter has it.
    /// With `ensure_weight_tying` they stay one weight.
    ///
    /// # Errors
    ///
    /// [`Error::Torch`](crate::Error::Torch) when libtorch refuses, as without memory for the copy.
    pub fn prepare_for(&mut self, adapter: &LoraConfig) -> Result<()> {
        // PEFT compares the ends of names; an entry takes a module with all that is in it.
        let saves = |modules: &[&str]| {
            let ends = |entry: &String| modules.iter().any(|module| module.ends_with(entry.as_str()));
            adapter.modules_to_save.iter().any(ends)
        };
        let (embedding, head) = (saves(&["model", "model.embed_tokens"]), saves(&["lm_head"]));
        if !self.config.tie_word_embeddings || adapter.ensure_weight_tying || !(embedding || head) {
            return Ok(());
        }
        let is_trained = head;
        let root = self.store.root().sub("lm_head");
        let head = variable(&root, "weight", &self.embedding.size(), self.dtypes.parameters)?;
        {
            let _no_grad = tch::no_grad_guard();
            head.shallow_clone().f_copy_(&self.embedding)?;
        }
        self.head = if is_trained { head } else { head.f_set_requires_grad(false)? };
        self.config.tie_word_embeddings = false;
        self.blocks.tied = false;
        Ok(())
    }

    /// Loads a base model and adds the adapter of a folder, which is then active.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load), and [`Error::Lora`](crate::Error::Lora) for an adapter that cannot be read or does
    /// not go with the base.
    pub fn load_adapted(base: &Path, adapter: &Path, options: LoadOptions) -> Result<(Self, Adapters)> {
        Self::load_adapted_with(base, DecoderConfig::load(base)?, adapter, options)
    }

    /// As [`load_adapted`](Self::load_adapted), with the base's configuration, which was read before.
    ///
    /// # Errors
    ///
    /// As [`load_adapted`](Self::load_adapted).
    pub fn load_adapted_with(
        base: &Path,
        base_config: DecoderConfig,
        adapter: &Path,
        options: LoadOptions,
    ) -> Result<(Self, Adapters)> {
        // An adapter that cannot be used is refused before a large model is read.
        let config = LoraConfig::from_adapter(adapter)?;
        let (mut model, _) = Self::load_with(base, base_config, options)?;
        model.prepare_for(&config)?;
        let (layers, variables) = model.layers_mut();
        let mut adapters = Adapters::new();
        adapters.load(layers, variables, "default", adapter, grades_lora::LoadOptions::default())?;
        Ok((model, adapters))
    }
}
