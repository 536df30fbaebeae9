//! Makes token ids of sentences and of pairs of them.

use std::path::{Path, PathBuf};

use tokenizers::{EncodeInput, PostProcessor, TruncationDirection, TruncationParams};

use super::clock::Clocked;
use super::pretrained::Pretrained;
use crate::data::error::{Error, Result};

/// The sizes of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest sequence wanted, special tokens included; longer sentences are cut.
    pub max_tokens: usize,
    /// The longest sequence that the model has positions for.
    pub max_positions: i64,
    /// The number of token ids that the model has embeddings for.
    pub vocab_size: i64,
}

/// The tokenizer of a model directory, with truncation and padding of our own.
#[derive(Debug)]
pub struct Tokenizer {
    inner: Clocked,
    path: PathBuf,
    limits: Limits,
    pad_id: u32,
    types: bool,
}

/// The tokens of one sentence or pair.
#[derive(Debug)]
pub(in crate::data) struct Tokens {
    pub(in crate::data) ids: Vec<u32>,
    /// Their segments; empty where all are in segment 0.
    pub(in crate::data) types: Vec<u8>,
    pub(in crate::data) truncated: bool,
}

impl Tokenizer {
    /// Loads `tokenizer.json` and what stands beside it; the truncation and padding that the file asks for are
    /// replaced.
    ///
    /// # Errors
    ///
    /// [`Error::File`] when the file cannot be read as a tokenizer, [`Error::Input`] when `max_tokens` is
    /// beyond the model's positions or leaves no room beside the special tokens.
    pub fn load(path: &Path, limits: Limits) -> Result<Self> {
        if !i64::try_from(limits.max_tokens).is_ok_and(|tokens| tokens <= limits.max_positions) {
            return Err(Error::Input(format!(
                "max_tokens = {} is beyond the {} positions of the model",
                limits.max_tokens, limits.max_positions
            )));
        }
        let Pretrained { mut inner, pad_id, truncate_left, types } = Pretrained::load(path)?;
        room(&inner, limits, false)?;
        let pad_id = pad_id
            .or_else(|| ["[PAD]", "<pad>"].iter().find_map(|token| inner.token_to_id(token)))
            .unwrap_or(0);
        let direction = if truncate_left { TruncationDirection::Left } else { TruncationDirection::Right };
        let truncation =
            TruncationParams { max_length: limits.max_tokens, direction, ..TruncationParams::default() };
        inner
            .with_truncation(Some(truncation))
            .map_err(|error| Error::file(path, format!("cannot truncate: {error}")))?;
        if !in_vocabulary(pad_id, limits) {
            let message = format!(
                "the padding token has id {pad_id}, the model's vocabulary has {} tokens",
                limits.vocab_size
            );
            return Err(Error::file(path, message));
        }
        let inner = Clocked::new(inner, path)?;
        Ok(Self { inner, path: path.to_path_buf(), limits, pad_id, types })
    }

    /// Returns the id to pad with.
    pub fn pad_id(&self) -> u32 {
        self.pad_id
    }

    /// Computes the token ids of one sentence, special tokens included.
    ///
    /// # Errors
    ///
    /// [`Error::File`] when the tokenizer fails or gives an id that the model does not have.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.encode_one(text, None)?.ids)
    }

    /// Computes the token ids of a pair of sentences and their segments, special tokens included. Of a pair that is too
    /// long the longer sentence is cut, a token at a time.
    ///
    /// # Errors
    ///
    /// As for [`encode`](Self::encode), and [`Error::Input`] when a pair's special tokens leave no room.
    pub fn encode_pair(&self, text: &str, pair: &str) -> Result<(Vec<u32>, Vec<u8>)> {
        let mut tokens = self.encode_one(text, Some(pair))?;
        tokens.types.resize(tokens.ids.len(), 0);
        Ok((tokens.ids, tokens.types))
    }

    fn encode_one(&self, text: &str, pair: Option<&str>) -> Result<Tokens> {
        let mut tokens = self.encode_batch(vec![(text, pair)])?;
        tokens.pop().unwrap_or_else(|| Err(Error::file(&self.path, "the tokenizer gave nothing back")))
    }

    /// Computes the tokens of many sentences or pairs, in their order; the work is spread over the cores.
    pub(in crate::data) fn encode_batch(
        &self,
        texts: Vec<(&str, Option<&str>)>,
    ) -> Result<Vec<Result<Tokens>>> {
        if texts.iter().any(|(_, pair)| pair.is_some()) {
            room(self.inner.inner(), self.limits, true)?;
        }
        let input = |(text, pair): (&str, Option<&str>)| match pair {
            Some(pair) => EncodeInput::from((text.to_owned(), pair.to_owned())),
            None => EncodeInput::from(text.to_owned()),
        };
        let bytes = texts.iter().map(|(text, pair)| text.len() + pair.map_or(0, str::len)).sum();
        let texts: Vec<EncodeInput<'static>> = texts.into_iter().map(input).collect();
        let encodings = self
            .inner
            .call(bytes, "the tokenizer failed", move |inner| inner.encode_batch_fast(texts, true))?;
        let tokens = encodings.into_iter().map(|encoding| {
            let ids = encoding.get_ids().to_vec();
            if let Some(id) = ids.iter().find(|&&id| !in_vocabulary(id, self.limits)) {
                let token = self.inner.inner().id_to_token(*id).unwrap_or_default();
                let token = token.escape_debug();
                let message = format!(
                    "token \"{token}\" has id {id}, the model's vocabulary has {} tokens; the tokenizer \
                     belongs to another model",
                    self.limits.vocab_size
                );
                return Err(Error::file(&self.path, message));
            }
            let types = if self.types { encoding.get_type_ids() } else { &[] };
            let types = if types.iter().any(|&segment| segment != 0) {
                types
                    .iter()
                    .map(|&segment| u8::try_from(segment))
                    .collect::<std::result::Result<_, _>>()
                    .map_err(|_| {
                        Error::file(&self.path, "has a token in a segment beyond 255; BERT has two of them")
                    })?
            } else {
                Vec::new()
            };
            Ok(Tokens { ids, types, truncated: !encoding.get_overflowing().is_empty() })
        });
        Ok(tokens.collect())
    }
}

/// Checks that the longest sequence has room beside the special tokens of a sentence, or of a pair.
fn room(inner: &tokenizers::Tokenizer, limits: Limits, pair: bool) -> Result<()> {
    let special = inner.get_post_processor().map_or(0, |processor| processor.added_tokens(pair));
    if limits.max_tokens > special {
        return Ok(());
    }
    let of = if pair { " of a pair" } else { "" };
    let max_tokens = limits.max_tokens;
    Err(Error::Input(format!("max_tokens = {max_tokens} leaves no room beside {special} special tokens{of}")))
}

fn in_vocabulary(id: u32, limits: Limits) -> bool {
    i64::from(id) < limits.vocab_size
}
