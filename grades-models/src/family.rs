//! Which kind of model a directory holds.

use std::path::Path;

use super::decoder::Architecture;
use super::error::Result;
use super::files::Keys;

/// The kinds of models that can be read, by `model_type` of `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// BERT with a classification head.
    Bert,
    /// A decoder that predicts the next token.
    Decoder(Architecture),
}

impl Family {
    /// What `config.json` of the directory `dir` says.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) and [`Error::Json`](crate::Error::Json) when the file cannot be read, [`Error::Config`](crate::Error::Config) when it has no `model_type`,
    /// [`Error::Unsupported`](crate::Error::Unsupported) for one that is not among those supported.
    pub fn of(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let raw = Keys::read(&path)?;
        let keys = Keys { raw: &raw, path: &path };
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
