//! Texts to token ids and back.

use std::path::{Path, PathBuf};

use crate::data::error::{Error, Result};
use crate::data::tokenizer_file::{guarded, parse};

/// A tokenizer from Hugging Face's `tokenizer.json`, without truncation and padding.
#[derive(Debug)]
pub struct Vocabulary {
    inner: tokenizers::Tokenizer,
    path: PathBuf,
    size: i64,
}

impl Vocabulary {
    /// Loads `tokenizer.json` for a model with embeddings for `size` token ids.
    ///
    /// # Errors
    ///
    /// [`Error::File`] when the file cannot be read as a tokenizer, [`Error::Io`] when it cannot be read.
    pub fn load(path: &Path, size: i64) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_path_buf(), source })?;
        let mut inner = parse(path, &bytes)?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| Error::file(path, format!("cannot be used: {error}")))?;
        Ok(Self { inner, path: path.to_path_buf(), size })
    }

    /// The token ids of a text; with `special`, those tokens around it that the tokenizer puts around a sequence.
    ///
    /// # Errors
    ///
    /// [`Error::File`] when the tokenizer fails or gives an id that the model does not have.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        let encoding = guarded(&self.path, "the tokenizer failed", || self.inner.encode_fast(text, special))?;
        let ids = encoding.get_ids().to_vec();
        if let Some(id) = ids.iter().find(|&&id| i64::from(id) >= self.size) {
            let token = self.inner.id_to_token(*id).unwrap_or_default();
            let message = format!(
                "token \"{token}\" has id {id}, the model's vocabulary has {} tokens; the tokenizer belongs to another \
                 model",
                self.size
            );
            return Err(Error::file(&self.path, message));
        }
        Ok(ids)
    }

    /// The text of token ids, special tokens left out.
    ///
    /// # Errors
    ///
    /// [`Error::File`] when the tokenizer fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        guarded(&self.path, "the tokenizer cannot decode", || self.inner.decode(ids, true))
    }
}
