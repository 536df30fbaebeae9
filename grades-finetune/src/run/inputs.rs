//! The files that a run reads besides its configuration, so that a resumed run notices when they changed.

use std::collections::{BTreeMap, BTreeSet};
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

/// The key of the digests of all weights.
const ALL_WEIGHTS: &str = "model.path, all bytes of the weights";

/// Digests the training data and the model's small files, and fingerprints its weights, by key of the
/// configuration. Of large weights only the ends are read a second time; but with adapters all of them, because no
/// checkpoint has the base's weights.
pub(crate) fn run_inputs(config: &RunConfig) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    found.insert("data.train".to_owned(), text(&config.data.train)?);
    // With early stopping, the evaluation data decide when the run ends.
    if let Some(eval) = config.data.eval.as_deref().filter(|_| config.early_stopping.is_some()) {
        found.insert("data.eval".to_owned(), text(eval)?);
    }
    let model = &config.model.path;
    found.extend(model_inputs(model)?);
    if config.lora.is_some() {
        let digest = |path: &Path| Digest::of(path).map(|digest| digest.crc32().to_owned());
        let digests = weights(model, digest).with_context(|| format!("cannot read {}", model.display()))?;
        found.insert(ALL_WEIGHTS.to_owned(), digests);
    }
    Ok(found)
}

/// Lists the keys of the files that have changed since a checkpoint was written. A file that an
/// earlier program did not record cannot be compared.
pub(crate) fn changed_inputs<'a>(
    before: &'a BTreeMap<String, String>,
    now: &'a BTreeMap<String, String>,
) -> Vec<&'a str> {
    let keys: BTreeSet<&String> = now.keys().chain(before.keys()).collect();
    let recorded = |key: &&String| *key != ALL_WEIGHTS || before.contains_key(*key);
    let changed = keys.into_iter().filter(recorded).filter(|key| now.get(*key) != before.get(*key));
    changed.map(String::as_str).collect()
}

/// Digests the small files of a model directory that matter, and fingerprints its weights.
pub(crate) fn model_inputs(model: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let texts = OF_TEXTS.into_iter().filter(|name| model.join(name).exists());
    for name in std::iter::once("config.json").chain(texts) {
        found.insert(format!("model.path, {name}"), text(&model.join(name))?);
    }
    let weights = weights(model, fingerprint).with_context(|| format!("cannot read {}", model.display()))?;
    found.insert("model.path, weights".to_owned(), weights);
    Ok(found)
}

/// Returns the length and the checksum of a file as text.
fn text(path: &Path) -> Result<String> {
    let digest = Digest::of(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::to_string(&digest).map(|text| text.replace('\n', " ")).context("writing a checksum")
}

/// Lists the names and checksums of the weight files.
fn weights(model: &Path, checksum: impl Fn(&Path) -> io::Result<String>) -> io::Result<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(model)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".safetensors") {
            files.push(format!("{name}: {}", checksum(&entry.path())?));
        }
    }
    files.sort();
    Ok(files.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_recorded_is_compared() {
        let map = |entries: &[(&str, &str)]| -> BTreeMap<String, String> {
            entries.iter().map(|(key, sum)| ((*key).to_owned(), (*sum).to_owned())).collect()
        };
        let before = map(&[("data.train", "1"), ("data.eval", "2")]);
        let now = map(&[("data.train", "1"), ("data.test", "3"), (ALL_WEIGHTS, "4")]);
        assert_eq!(changed_inputs(&before, &now), ["data.eval", "data.test"]);
        assert_eq!(changed_inputs(&now, &before), ["data.eval", "data.test", ALL_WEIGHTS]);
        assert!(changed_inputs(&now, &now).is_empty());
    }
}
