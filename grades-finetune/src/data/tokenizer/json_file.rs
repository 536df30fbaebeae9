//! Reads the JSON files beside a tokenizer.

use std::path::Path;

use serde_json::{Map, Value};

use crate::data::content;
use crate::data::error::{Error, Result};

/// Reads a JSON object, which is empty where there is no such file.
///
/// # Errors
///
/// [`Error::Io`] and [`Error::File`] for a file that cannot be read or is no JSON object.
pub(super) fn object(path: &Path) -> Result<Map<String, Value>> {
    let bytes = match content::read(path) {
        Ok(bytes) => bytes,
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Map::new());
        }
        Err(error) => return Err(error),
    };
    let parsed = serde_json::from_slice(&bytes)
        .or_else(|error| serde_json::from_slice(&without_numbers_of_python(&bytes)).map_err(|_| error));
    parsed.map_err(|error| Error::file(path, format!("is not valid JSON: {error}")))
}

/// Replaces `NaN` and `Infinity`, which Python writes, by `null`.
fn without_numbers_of_python(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let (mut rest, mut in_string) = (bytes, false);
    while let Some((&byte, after)) = rest.split_first() {
        if !in_string {
            let word = [b"-Infinity".as_slice(), b"Infinity", b"NaN"]
                .into_iter()
                .find(|word| rest.starts_with(word));
            if let Some(word) = word {
                out.extend_from_slice(b"null");
                rest = rest.get(word.len()..).unwrap_or_default();
                continue;
            }
        }
        out.push(byte);
        rest = after;
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                if let Some((&escaped, after)) = rest.split_first() {
                    out.push(escaped);
                    rest = after;
                }
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_of_python_are_null_outside_of_strings() {
        let text = br#"{"a": NaN, "b\"": -Infinity, "c": "NaN", "d": [Infinity]}"#;
        let read = String::from_utf8(super::without_numbers_of_python(text)).unwrap();
        assert_eq!(read, r#"{"a": null, "b\"": null, "c": "NaN", "d": [null]}"#);
    }
}
