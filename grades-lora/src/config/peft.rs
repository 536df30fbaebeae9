//! The configuration as PEFT's `adapter_config.json`.

use std::collections::BTreeMap;
use std::path::Path;

use grades::schema::Words;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;

use super::{Bias, Init, LoraConfig, Targets};
use crate::error::{Error, Result};

mod keys;

use keys::{File, LORA, Names, Ordered, PEFT_VERSION, WithoutMeaning};

/// Reads the configuration in a text that was read from `path`.
///
/// A key that asks for what is not implemented is refused, and one that PEFT 0.21.2 does not have unless it is empty; one
/// that is absent or null has PEFT's default.
pub(crate) fn read_peft(path: &Path, text: &str) -> Result<LoraConfig> {
    let entries: Ordered<Box<RawValue>> = serde_json::from_str(text)
        .map_err(|error| Error::file(path, format!("is no JSON object with each key once: {error}")))?;
    let entries: BTreeMap<String, Box<RawValue>> = entries.0.into_iter().collect();
    let mut reader = Reader { path, entries };
    let kind: Option<String> = reader.take("peft_type", "a string")?;
    match kind.as_deref() {
        Some(LORA) => {}
        Some(other) => return Err(reader.unsupported("peft_type", &format!("\"{other}\""), "\"LORA\"")),
        None => return Err(Error::file(path, "has no \"peft_type\"; expected \"LORA\"")),
    }
    let default = LoraConfig::default();
    let init = reader.init()?;
    let bias: Option<String> = reader.take("bias", "a string")?;
    let bias = match bias {
        None => Bias::None,
        Some(word) => Bias::from_word(&word)
            .ok_or_else(|| reader.unsupported("bias", &format!("\"{word}\""), "none, all, lora_only"))?,
    };
    let targets = |names: Names| match names {
        Names::One(text) => Targets::from_text(&text),
        Names::Many(names) => Targets::List(names),
    };
    const NAMES: &str = "a string or a list of strings";
    let target_modules: Option<Names> = reader.take("target_modules", NAMES)?;
    let Some(target_modules) = target_modules else {
        return Err(Error::file(
            path,
            "has no \"target_modules\"; PEFT's defaults by model type are not known here: name the layers",
        ));
    };
    let exclude: Option<Names> = reader.take("exclude_modules", NAMES)?;
    let layers: Option<keys::Numbers> =
        reader.take("layers_to_transform", "a number or a list of numbers")?;
    let layers_pattern: Option<Names> = reader.take("layers_pattern", NAMES)?;
    const PATTERN: &str = "an object from expressions to numbers, each expression once";
    let ranks: Option<Ordered<i64>> = reader.take("rank_pattern", PATTERN)?;
    let alphas: Option<Ordered<f64>> = reader.take("alpha_pattern", PATTERN)?;
    let saved: Option<Vec<String>> = reader.take("modules_to_save", "a list of strings")?;
    let config = LoraConfig {
        rank: reader.take("r", "a whole number")?.unwrap_or(default.rank),
        alpha: reader.take("lora_alpha", "a number")?.unwrap_or(default.alpha),
        dropout: reader.take("lora_dropout", "a number")?.unwrap_or(default.dropout),
        target_modules: targets(target_modules),
        exclude_modules: exclude
            .map(targets)
            .filter(|targets| !matches!(targets, Targets::List(names) if names.is_empty())),
        rank_pattern: ranks.map(|ranks| ranks.0).unwrap_or_default(),
        alpha_pattern: alphas.map(|alphas| alphas.0).unwrap_or_default(),
        layers_to_transform: layers.map(keys::Numbers::into_list).filter(|layers| !layers.is_empty()),
        layers_pattern: layers_pattern.map(Names::into_list).unwrap_or_default(),
        use_rslora: reader.take("use_rslora", "true or false")?.unwrap_or(false),
        use_dora: reader.take("use_dora", "true or false")?.unwrap_or(false),
        init,
        bias,
        // PEFT adds its names of heads each time it loads an adapter of a classifier.
        modules_to_save: without_repeats(saved.unwrap_or_default()),
        ensure_weight_tying: reader.take("ensure_weight_tying", "true or false")?.unwrap_or(false),
        task_type: reader.take("task_type", "a string")?,
        base_model: reader.take("base_model_name_or_path", "a string")?,
    };
    reader.finish()?;
    config.check().map_err(|error| Error::file(path, error.to_string()))?;
    Ok(config)
}

/// Writes the text of `adapter_config.json`, with all keys that PEFT 0.21.2 writes, in its order and form.
pub(crate) fn write_peft(config: &LoraConfig) -> Result<String> {
    let mut text = serde_json::to_string_pretty(&File::new(config))
        .map_err(|error| Error::Config(grades::Problems::of("lora", error.to_string())))?;
    text.push('\n');
    Ok(text)
}

fn without_repeats(names: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for name in names {
        if !kept.contains(&name) {
            kept.push(name);
        }
    }
    kept
}

struct Reader<'a> {
    path: &'a Path,
    entries: BTreeMap<String, Box<RawValue>>,
}

impl Reader<'_> {
    /// Removes a key and returns its value; null counts as absent.
    fn take<T: DeserializeOwned>(&mut self, key: &str, expected: &str) -> Result<Option<T>> {
        let Some(value) = self.entries.remove(key) else { return Ok(None) };
        serde_json::from_str(value.get()).map_err(|_| {
            Error::file(self.path, format!("\"{key}\": expected {expected}, found {}", value.get()))
        })
    }

    fn unsupported(&self, key: &str, found: &str, supported: &str) -> Error {
        Error::Unsupported {
            path: self.path.to_path_buf(),
            key: key.to_owned(),
            found: found.to_owned(),
            supported: supported.to_owned(),
        }
    }

    fn init(&mut self) -> Result<Init> {
        const KEY: &str = "init_lora_weights";
        let Some(value) = self.entries.remove(KEY) else { return Ok(Init::Default) };
        match value.get() {
            "true" | "null" => Ok(Init::Default),
            "false" => Ok(Init::Random),
            text if text.eq_ignore_ascii_case("\"gaussian\"") => Ok(Init::Gaussian),
            // The others also change the base's weights, or how the adapter is computed.
            text => Err(self.unsupported(
                KEY,
                text,
                "true, false, \"gaussian\"; convert the adapter in PEFT (save_pretrained with \
                 path_initial_model_for_weight_conversion)",
            )),
        }
    }

    /// Refuses what is left unless it asks for nothing: a key that is not known may mean anything, so it is not ignored.
    fn finish(self) -> Result<()> {
        for (key, value) in &self.entries {
            match keys::without_meaning(key) {
                Some(WithoutMeaning::Whatever) => continue,
                Some(WithoutMeaning::Only(values)) if values.contains(&value.get()) => continue,
                Some(WithoutMeaning::Only(values)) => {
                    return Err(self.unsupported(key, value.get(), &values.join(", ")));
                }
                None => {}
            }
            let empty = matches!(value.get(), "null" | "false" | "\"\"")
                || serde_json::from_str::<BTreeMap<String, IgnoredAny>>(value.get())
                    .is_ok_and(|object| object.is_empty())
                || serde_json::from_str::<Vec<IgnoredAny>>(value.get()).is_ok_and(|list| list.is_empty());
            if !empty {
                let supported = "the keys of PEFT 0.21.2, and others that are null, false or empty";
                return Err(self.unsupported(key, value.get(), supported));
            }
            tracing::debug!(target: "grades", key = %key, "a key of adapter_config.json that asks for nothing");
        }
        tracing::trace!(target: "grades", version = PEFT_VERSION, "read adapter_config.json");
        Ok(())
    }
}
