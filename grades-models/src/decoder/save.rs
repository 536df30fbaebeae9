//! Writing a decoder's directory.

use std::path::Path;

use grades_lora::Adapters;

use super::Decoder;
use super::fused::{fused_matrices, sorted};
use crate::error::{Error, Result};
use crate::files::{Entry, dtype_name, save_directory};

/// The size from which on weights are spread over several files, as in transformers 5.
const SHARD: u64 = 50_000_000_000;

impl Decoder {
    /// Writes `config.json`, the weights and the files of the tokenizer to the folder `dir`, creating it.
    ///
    /// All files are written completely before the first old one is replaced. The tokenizer's files, the chat
    /// template and `generation_config.json` are those of the directory that the model was loaded from, byte for
    /// byte. Fused matrices are fused in the files though they were split at load; tied matrices are stored once.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] naming the file that could not be written (the old files are then unchanged),
    /// [`Error::Input`] when adapters are in the model, [`Error::Torch`] when a variable cannot be read.
    pub fn save(&self, dir: &Path) -> Result<()> {
        self.save_sharded(dir, SHARD)
    }

    /// Saves as [`save`](Self::save) does, with weight files of at most `shard` bytes, unless one tensor alone is larger.
    ///
    /// # Errors
    ///
    /// As [`save`](Self::save).
    pub fn save_sharded(&self, dir: &Path, shard: u64) -> Result<()> {
        let dtype = dtype_name(self.dtype())
            .ok_or_else(|| Error::Input(format!("a model of dtype {:?} cannot be saved", self.dtype())))?;
        if self.store.variables().keys().any(|name| Adapters::is_variable(name)) {
            return Err(Error::Input(
                "there are adapters in the model: save those, or merge them first (Adapters::merge_and_unload)".into(),
            ));
        }
        let mut variables: std::collections::BTreeMap<_, _> = sorted(&self.store).into_iter().collect();
        let mut entries = Vec::with_capacity(variables.len());
        for matrix in fused_matrices(&self.config) {
            let parts: Vec<_> = matrix.parts.iter().filter_map(|(part, _)| variables.remove(part)).collect();
            if parts.len() == matrix.parts.len() {
                entries.push(Entry::stacked(matrix.name, parts));
            }
        }
        entries.extend(variables.into_iter().map(|(name, tensor)| Entry::whole(name, tensor)));
        save_directory(dir, &self.config.to_json(dtype), entries, &self.sidecars, shard)
    }
}
