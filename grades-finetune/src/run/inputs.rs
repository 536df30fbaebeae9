//! The files that a run reads besides its configuration, so that a resumed run notices when they changed.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};

use crate::config::RunConfig;
use crate::storage::{Digest, fingerprint};

/// The files that shape texts and tokens, where a model directory has them.
const OF_TEXTS: [&str; 9] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "generation_config.json",
];

/// Digests the training data and the model's small files, and takes fingerprints of its weights, by key of the
/// configuration. Of large weights only the ends are read a second time.
pub(crate) fn run_inputs(config: &RunConfig) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    found.insert("data.train".to_owned(), text(&config.data.train)?);
    // With early stopping, the evaluation data decide when the run ends.
    if let Some(eval) = config.data.eval.as_deref().filter(|_| config.early_stopping.is_some()) {
        found.insert("data.eval".to_owned(), text(eval)?);
    }
    found.extend(model_inputs(&config.model.path)?);
    Ok(found)
}

/// Digests the small files of a model directory that matter, and takes fingerprints of its weights.
pub(crate) fn model_inputs(model: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let texts = OF_TEXTS.into_iter().filter(|name| model.join(name).exists());
    for name in std::iter::once("config.json").chain(texts) {
        found.insert(format!("model.path, {name}"), text(&model.join(name))?);
    }
    let weights = weights(model).with_context(|| format!("cannot read {}", model.display()))?;
    found.insert("model.path, weights".to_owned(), weights);
    Ok(found)
}

/// Returns the length and the checksum of a file as text.
fn text(path: &Path) -> Result<String> {
    let digest = Digest::of(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::to_string(&digest).map(|text| text.replace('\n', " ")).context("writing a checksum")
}

/// Lists the names and fingerprints of the weight files.
fn weights(model: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(model)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".safetensors") {
            files.push(format!("{name}: {}", fingerprint(&entry.path())?));
        }
    }
    files.sort();
    Ok(files.join(", "))
}
