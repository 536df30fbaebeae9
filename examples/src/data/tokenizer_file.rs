//! Making a tokenizer of the bytes of `tokenizer.json`.

use std::path::Path;

use serde::de::IgnoredAny;

use super::error::{Error, Result};

/// Parses the file; what makes no sense is refused.
///
/// The bytes are looked through first: the library (tokenizers 0.23) panics within a decoder that is not valid JSON.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<tokenizers::Tokenizer> {
    let refused = |error: String| Error::file(path, format!("is no tokenizer: {error}"));
    serde_json::from_slice::<IgnoredAny>(bytes).map_err(|error| refused(error.to_string()))?;
    tokenizers::Tokenizer::from_bytes(bytes).map_err(|error| refused(error.to_string()))
}
