//! Loads trained models, with or without an adapter.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use grades_lora::LoraConfig;
use grades_models::bert::{self, BertClassifier};
use grades_models::decoder::{self, Decoder};

/// The folders of a model.
#[derive(Debug, Clone)]
pub struct ModelFiles {
    /// The model's directory; the base's, of an adapter.
    pub base: PathBuf,
    /// The adapter's folder.
    pub adapter: Option<PathBuf>,
}

impl ModelFiles {
    /// Finds the folders: the model's directory, or the one that the adapter names. A run's folder stands for the model or
    /// the adapter in it.
    ///
    /// # Errors
    ///
    /// When neither is given, a directory is not there, or the adapter names no base that is a folder here.
    pub fn find(model: Option<&Path>, adapter: Option<&Path>) -> Result<Self> {
        let adapter = adapter.map(|adapter| inside(adapter, "adapter_config.json", "adapter"));
        let model = model.map(|model| inside(model, "config.json", "model"));
        let Some(adapter) = adapter else {
            let base = model.ok_or_else(|| anyhow!("no model is given: --model DIR, or --adapter DIR"))?;
            if !base.is_dir() {
                bail!("--model: there is no directory {}", base.display());
            }
            return Ok(Self { base, adapter: None });
        };
        if !adapter.is_dir() {
            bail!("--adapter: there is no directory {}", adapter.display());
        }
        let base = base_of(&adapter, model.as_deref())?;
        if !base.is_dir() {
            bail!("--model: there is no directory {}", base.display());
        }
        Ok(Self { base, adapter: Some(adapter) })
    }

    /// Returns the folder of the run that wrote the model or the adapter, where it is in one.
    pub fn run(&self) -> Option<&Path> {
        let trained = self.adapter.as_deref().unwrap_or(&self.base);
        trained.parent().filter(|run| run.join("config.toml").is_file() && run.join("steps.jsonl").is_file())
    }
}

/// Returns the folder itself, or the one of this name in a run's folder.
fn inside(folder: &Path, file: &str, name: &str) -> PathBuf {
    let inner = folder.join(name);
    if !folder.join(file).is_file() && inner.join(file).is_file() { inner } else { folder.to_path_buf() }
}

/// Returns the base's directory: the one given, or the one that the adapter names.
pub(crate) fn base_of(adapter: &Path, given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given {
        return Ok(given.to_path_buf());
    }
    let named = LoraConfig::from_adapter(adapter)?.base_model.map(PathBuf::from);
    named.filter(|base| base.is_dir()).ok_or_else(|| {
        anyhow!("{} names no base model that is a folder here; give it (--model DIR)", adapter.display())
    })
}

/// Loads a classifier that has a trained head.
///
/// # Errors
///
/// When a file is missing or damaged, or the model has no classification head.
pub fn load_classifier(files: &ModelFiles, options: bert::LoadOptions) -> Result<BertClassifier> {
    let (model, fresh) = match &files.adapter {
        Some(adapter) => {
            let (model, _, loaded) = bert::load_adapted(&files.base, adapter, options)?;
            (model, loaded.fresh)
        }
        None => match BertClassifier::load(&files.base, options) {
            Ok((model, loaded)) => (model, loaded.fresh),
            Err(grades_models::Error::Labels { path, message })
                if message.contains("no labels of its own") =>
            {
                return Err(without_head(path.parent().unwrap_or(&path)));
            }
            Err(error) => return Err(error.into()),
        },
    };
    if fresh.iter().any(|name| name.starts_with("classifier.")) {
        return Err(without_head(&files.base));
    }
    if !fresh.is_empty() {
        bail!("{} lacks {}", files.base.display(), fresh.join(", "));
    }
    Ok(model)
}

fn without_head(base: &Path) -> anyhow::Error {
    let base = base.display();
    anyhow!(
        "{base} has no classification head, so it predicts nothing yet; train one: finetune train --model {base} \
         --train FILE"
    )
}

/// Loads a decoder.
///
/// # Errors
///
/// When a file is missing or damaged.
pub fn load_decoder(files: &ModelFiles, options: decoder::LoadOptions) -> Result<Decoder> {
    Ok(match &files.adapter {
        Some(adapter) => Decoder::load_adapted(&files.base, adapter, options)?.0,
        None => Decoder::load(&files.base, options)?.0,
    })
}
