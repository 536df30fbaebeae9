//! Texts to token ids and back.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::data::error::{Error, Result};
use crate::data::tokenizer::{Clocked, Pretrained};

/// The tokenizer of a model directory, without truncation and padding.
#[derive(Debug)]
pub struct Vocabulary {
    tokenizer: Clocked,
    truncates_left: bool,
    path: PathBuf,
    size: i64,
}

/// The tokens of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The token ids.
    pub ids: Vec<u32>,
    /// The bytes of the text that each token stands for; none for tokens around the text.
    pub spans: Vec<(usize, usize)>,
}

impl Encoded {
    /// Returns the tokens that have a byte of a range of the text: from the first such token to the last.
    pub fn tokens_of(&self, bytes: &Range<usize>) -> Option<Range<usize>> {
        let within = |&(start, end): &(usize, usize)| start < end && start < bytes.end && end > bytes.start;
        let first = self.spans.iter().position(within)?;
        let last = self.spans.iter().rposition(within)?;
        Some(first..last + 1)
    }
}

impl Vocabulary {
    /// Loads `tokenizer.json`, and what stands beside it, for a model with embeddings for `size` token ids.
    ///
    /// # Errors
    ///
    /// [`Error::File`] when the file cannot be read as a tokenizer, [`Error::Io`] when it cannot be read.
    pub fn load(path: &Path, size: i64) -> Result<Self> {
        let pretrained = Pretrained::load(path)?;
        let truncates_left = pretrained.truncate_left;
        Ok(Self {
            tokenizer: Clocked::new(pretrained.inner, path)?,
            truncates_left,
            path: path.to_path_buf(),
            size,
        })
    }

    /// Returns whether texts that are too long lose their beginning, as the model's files say.
    pub(super) fn truncates_left(&self) -> bool {
        self.truncates_left
    }

    /// Returns the token ids of a text; with `special`, those tokens around it that the tokenizer adds to a sequence.
    ///
    /// # Errors
    ///
    /// [`Error::File`] when the tokenizer fails or gives an id that the model does not have.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        Ok(self.encode_with_spans(text, special)?.ids)
    }

    /// Returns the tokens of a text with their places in it.
    ///
    /// # Errors
    ///
    /// As for [`Vocabulary::encode`].
    pub fn encode_with_spans(&self, text: &str, special: bool) -> Result<Encoded> {
        let (inner, own) = (self.tokenizer.inner(), text.to_owned());
        let encoding = self
            .tokenizer
            .call(text.len(), "the tokenizer failed", move |inner| inner.encode(own, special))?;
        let ids = encoding.get_ids().to_vec();
        if let Some(id) = ids.iter().find(|&&id| i64::from(id) >= self.size) {
            let token = inner.id_to_token(*id).unwrap_or_default();
            let message = format!(
                "token \"{}\" has id {id}, the model's vocabulary has {} tokens; the tokenizer belongs to another \
                 model",
                token.escape_debug(),
                self.size
            );
            return Err(Error::file(&self.path, message));
        }
        Ok(Encoded { ids, spans: encoding.get_offsets().to_vec() })
    }

    /// Returns the text of token ids, special tokens left out.
    ///
    /// # Errors
    ///
    /// [`Error::File`] when the tokenizer fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let ids = ids.to_vec();
        let bytes = ids.len() * 4;
        self.tokenizer.call(bytes, "the tokenizer cannot decode", move |inner| inner.decode(&ids, true))
    }
}
