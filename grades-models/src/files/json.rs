//! Reads JSON as Python's `json` module writes it: with `NaN`, `Infinity` and `-Infinity`, which standard JSON lacks.

use std::borrow::Cow;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result};

/// The key of the object that stands for a number that JSON lacks; `transformers` writes and reads the same form.
const FLOAT: &str = "__float__";

/// Reads a JSON file; `NaN`, `Infinity` and `-Infinity` become `{"__float__": "NaN"}` and so on.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = grades_lora::read_regular(path).map_err(|source| Error::io("read", path, source))?;
    parse_json(&text).map_err(|source| Error::Json { path: path.to_path_buf(), source })
}

/// Parses JSON as [`read_json`] does.
pub(crate) fn parse_json<T: DeserializeOwned>(text: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(text).or_else(|error| match to_standard(text) {
        Cow::Borrowed(_) => Err(error),
        Cow::Owned(text) => serde_json::from_slice(&text),
    })
}

/// Returns a number, also one that standard JSON lacks.
pub(crate) fn as_f64(value: &Value) -> Option<f64> {
    let special = || match value.as_object()?.get(FLOAT)?.as_str()? {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    };
    value.as_f64().or_else(special)
}

/// Replaces the numbers that standard JSON lacks, where they are no part of a string.
fn to_standard(text: &[u8]) -> Cow<'_, [u8]> {
    const WORDS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];
    let mut found: Option<Vec<u8>> = None;
    let (mut at, mut copied, mut quoted) = (0, 0, false);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let word = WORDS.iter().find(|word| !quoted && rest.starts_with(word.as_bytes()));
        match (rest.first().copied().unwrap_or_default(), word) {
            (_, Some(word)) => {
                let out = found.get_or_insert_default();
                out.extend_from_slice(text.get(copied..at).unwrap_or_default());
                out.extend_from_slice(format!("{{\"{FLOAT}\":\"{word}\"}}").as_bytes());
                at += word.len();
                copied = at;
                continue;
            }
            (b'\\', _) if quoted => at += 1,
            (b'"', _) => quoted = !quoted,
            _ => {}
        }
        at += 1;
    }
    match found {
        None => Cow::Borrowed(text),
        Some(mut out) => {
            out.extend_from_slice(text.get(copied..).unwrap_or_default());
            Cow::Owned(out)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_json_lacks_are_read_outside_of_strings() {
        let text = r#"{"a": Infinity, "b": [-Infinity, NaN, 1.5], "c": "say \"NaN\" or Infinity", "NaN": 2}"#;
        let value: Value = parse_json(text.as_bytes()).unwrap();
        assert_eq!(as_f64(&value["a"]), Some(f64::INFINITY));
        assert_eq!(as_f64(&value["b"][0]), Some(f64::NEG_INFINITY));
        assert!(as_f64(&value["b"][1]).unwrap().is_nan());
        assert_eq!((as_f64(&value["b"][2]), as_f64(&value["c"])), (Some(1.5), None));
        assert_eq!((&value["c"], &value["NaN"]), (&"say \"NaN\" or Infinity".into(), &2.into()));
        // In the form that `transformers` writes.
        assert_eq!(value["a"].to_string(), r#"{"__float__":"Infinity"}"#);
    }

    #[test]
    fn what_python_would_not_read_is_an_error() {
        for text in
            ["{\"a\": Infinity,\n \"b\": }", "[Infinite]", "{\"a\": nan}", "\"NaN", "[NaN", "[+Infinity]"]
        {
            assert!(parse_json::<Value>(text.as_bytes()).is_err(), "{text}");
        }
        let error = parse_json::<Value>(b"{\"a\": Infinity,\n \"b\": }").unwrap_err();
        assert_eq!(error.line(), 2, "{error}");
    }
}
