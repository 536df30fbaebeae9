//! The families of models, and the configuration of a directory of any of them.

use std::path::Path;

use crate::bert::BertConfig;
use crate::decoder::{Architecture, DecoderConfig};
use crate::error::Result;
use crate::files::Keys;

/// The families of models, by `model_type` of `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// BERT with a classification head.
    Bert,
    /// A decoder that predicts the next token.
    Decoder(Architecture),
}

impl Family {
    /// Reads the family of a model directory from its `config.json`; [`ModelConfig::load`] reads all of it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) and [`Error::Json`](crate::Error::Json) when the file cannot be read,
    /// [`Error::Config`](crate::Error::Config) when it has no `model_type`,
    /// [`Error::Unsupported`](crate::Error::Unsupported) for a `model_type` that is not supported.
    pub fn of(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let raw = Keys::read(&path)?;
        Self::read(&Keys { raw: &raw, path: &path })
    }

    fn read(keys: &Keys<'_>) -> Result<Self> {
        let known: Vec<&str> =
            std::iter::once("bert").chain(Architecture::ALL.map(Architecture::model_type)).collect();
        let found = keys.text("model_type")?.ok_or_else(|| {
            keys.error("model_type", format!("the key is missing; expected one of: {}", known.join(", ")))
        })?;
        if found == "bert" {
            return Ok(Self::Bert);
        }
        match Architecture::from_model_type(found) {
            Some(architecture) => Ok(Self::Decoder(architecture)),
            None => Err(keys.unsupported("model_type", found, &known.join(", "))),
        }
    }
}

/// The configuration of a model directory, read once and passed on.
#[derive(Debug, Clone)]
pub enum ModelConfig {
    /// Of BERT.
    Bert(BertConfig),
    /// Of a decoder.
    Decoder(DecoderConfig),
}

impl ModelConfig {
    /// Reads `config.json` of a model directory.
    ///
    /// # Errors
    ///
    /// As [`Family::of`], and as [`BertConfig::load`] or [`DecoderConfig::load`] for the other keys.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let raw = Keys::read(&path)?;
        match Family::read(&Keys { raw: &raw, path: &path })? {
            Family::Bert => BertConfig::from_json(raw, path).map(Self::Bert),
            Family::Decoder(_) => DecoderConfig::from_json(raw, &path).map(Self::Decoder),
        }
    }

    /// Returns the family.
    pub fn family(&self) -> Family {
        match self {
            Self::Bert(_) => Family::Bert,
            Self::Decoder(config) => Family::Decoder(config.architecture),
        }
    }

    /// Returns the length of the longest sequence, in tokens.
    pub fn max_positions(&self) -> i64 {
        match self {
            Self::Bert(config) => config.max_position_embeddings,
            Self::Decoder(config) => config.max_position_embeddings,
        }
    }

    /// Returns the number of token ids.
    pub fn vocab_size(&self) -> i64 {
        match self {
            Self::Bert(config) => config.vocab_size,
            Self::Decoder(config) => config.vocab_size,
        }
    }
}
