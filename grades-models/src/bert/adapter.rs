//! A base model with an adapter from a folder.

use std::path::Path;

use grades_lora::{Adapters, LoraConfig, WEIGHTS_FILE, own_file, read_regular};
use safetensors::SafeTensors;

use super::classifier::BertClassifier;
use super::config::BertConfig;
use super::options::{LoadOptions, LoadReport};
use crate::error::{Error, Result};

/// The file in an adapter's folder with the names of the labels, a JSON list; PEFT has no place for them.
pub const LABELS_FILE: &str = "labels.json";

/// Loads a base model and adds the adapter of a folder, which is then active.
///
/// Where the adapter brings a classification head, the labels are those of `options`, of [`LABELS_FILE`] in its folder,
/// of the base, where their number is right, or `LABEL_0`, `LABEL_1`, … The report names nothing that the adapter brings.
///
/// # Errors
///
/// As [`BertClassifier::load`], and [`Error::Lora`] for an adapter that cannot be read or does not go with the base.
pub fn load_adapted(
    base: &Path,
    adapter: &Path,
    options: LoadOptions,
) -> Result<(BertClassifier, Adapters, LoadReport)> {
    load_adapted_with(base, BertConfig::load(base)?, adapter, options)
}

/// As [`load_adapted`], with the base's configuration, which was read before.
///
/// # Errors
///
/// As [`load_adapted`].
pub fn load_adapted_with(
    base: &Path,
    config: BertConfig,
    adapter: &Path,
    mut options: LoadOptions,
) -> Result<(BertClassifier, Adapters, LoadReport)> {
    // An adapter that cannot be used is refused before a large model is read.
    LoraConfig::from_adapter(adapter)?;
    if let Some(rows) = head_rows(adapter)? {
        let named = match options.labels.take() {
            Some(labels) => Some(labels),
            None => read_labels(adapter)?,
        };
        let own = config.labels.clone().filter(|labels| labels.len() == rows);
        let labels = named.or(own).unwrap_or_else(|| (0..rows).map(|id| format!("LABEL_{id}")).collect());
        options.labels = Some(labels);
        options.new_head = true;
    }
    let (mut model, mut report) = BertClassifier::load_with(base, config, options)?;
    let (layers, variables) = model.layers_mut();
    let mut adapters = Adapters::new();
    adapters.load(layers, variables, "default", adapter, grades_lora::LoadOptions::default())?;
    report.fresh.retain(|name| !adapters.brings("default", name));
    Ok((model, adapters, report))
}

/// Returns the number of rows of the head in an adapter's file.
fn head_rows(adapter: &Path) -> Result<Option<usize>> {
    let path = adapter.join(WEIGHTS_FILE);
    // A file that is not there or damaged is reported when the adapter is loaded.
    let Ok(bytes) = read_regular(&path) else { return Ok(None) };
    let Ok(file) = SafeTensors::deserialize(&bytes) else { return Ok(None) };
    Ok(file.tensor("base_model.model.classifier.weight").ok().and_then(|head| head.shape().first().copied()))
}

fn read_labels(adapter: &Path) -> Result<Option<Vec<String>>> {
    let path = adapter.join(LABELS_FILE);
    own_file(adapter, LABELS_FILE).map_err(|source| Error::io("read", &path, source))?;
    match read_regular(&path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|source| Error::Json { path, source }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::io("read", &path, source)),
    }
}
