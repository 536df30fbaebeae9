//! What a run reads besides its configuration: other contents would give another result.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};

use super::digest::Digest;
use crate::config::RunConfig;

/// The contents of the training data and of the model's small files, and the lengths of its weights, by key of the
/// configuration. Weights are not read a second time for this.
pub(crate) fn inputs(config: &RunConfig) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let text = |path: &Path| {
        let digest = Digest::of(path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::to_string(&digest).map(|text| text.replace('\n', " ")).context("writing a checksum")
    };
    found.insert("data.train".to_owned(), text(&config.data.train)?);
    // Where evaluations decide when the run ends, they are part of it.
    if let Some(eval) = config.data.eval.as_deref().filter(|_| config.early_stopping.is_some()) {
        found.insert("data.eval".to_owned(), text(eval)?);
    }
    let model = &config.model.path;
    for name in ["config.json", "tokenizer.json"] {
        found.insert(format!("model.path, {name}"), text(&model.join(name))?);
    }
    let weights = lengths(model).with_context(|| format!("cannot read {}", model.display()))?;
    found.insert("model.path, weights".to_owned(), weights);
    Ok(found)
}

/// The names and lengths of the weight files.
fn lengths(model: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(model)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".safetensors") {
            files.push(format!("{name}: {}", std::fs::metadata(entry.path())?.len()));
        }
    }
    files.sort();
    Ok(files.join(", "))
}
