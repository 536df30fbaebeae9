//! Writing a classifier's directory.

use std::path::Path;

use serde_json::Value;
use tch::Tensor;
use tch::nn::VarStore;

use crate::error::Result;
use crate::files::{Entry, Sidecars, save_directory};

/// Writes the variables under their own names, in one file.
pub(super) fn save(dir: &Path, config: &Value, store: &VarStore, sidecars: &Sidecars) -> Result<()> {
    let mut variables: Vec<(String, Tensor)> = store.variables().into_iter().collect();
    variables.sort_by(|a, b| a.0.cmp(&b.0));
    let entries = variables.into_iter().map(|(name, tensor)| Entry::whole(name, tensor)).collect();
    save_directory(dir, config, entries, sidecars, u64::MAX)
}
