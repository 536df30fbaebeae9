//! One JSON object a line.

use std::path::Path;

use serde_json::{Map, Value};

use super::column::Column;
use super::error::{Error, Result};
use super::read::{Record, Source, lines, record, utf8};

pub(super) fn records(path: &Path, bytes: &[u8], source: &Source) -> Result<Vec<Record>> {
    let (text, label) = (key(path, &source.text, "text")?, key(path, &source.label, "label")?);
    if text == label {
        return Err(Error::file(path, format!("text and label are the same key \"{text}\"")));
    }
    let mut list = Vec::new();
    for (line, bytes) in lines(bytes) {
        let content = utf8(path, line, bytes)?;
        if content.trim().is_empty() {
            continue;
        }
        let mut object: Map<String, Value> = serde_json::from_str(content)
            .map_err(|error| Error::line(path, line, format!("expected one JSON object a line: {error}")))?;
        let label = match value(path, line, &object, label, "label")? {
            Value::String(word) => word.clone(),
            Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            other => {
                let message =
                    format!("\"{label}\": expected a word, a whole number or true/false, found {other}");
                return Err(Error::line(path, line, message));
            }
        };
        value(path, line, &object, text, "text")?;
        let Some(Value::String(sentence)) = object.remove(text) else {
            return Err(Error::line(path, line, format!("\"{text}\": expected a string")));
        };
        list.push(record(path, line, sentence, &label)?);
    }
    Ok(list)
}

fn key<'a>(path: &Path, column: &'a Column, what: &str) -> Result<&'a str> {
    match column {
        Column::Name(name) => Ok(name),
        Column::Position(position) => {
            let message = format!("{what} = {position}: JSONL has keys, not positions; give the key's name");
            Err(Error::file(path, message))
        }
    }
}

fn value<'a>(
    path: &Path,
    line: u64,
    object: &'a Map<String, Value>,
    key: &str,
    what: &str,
) -> Result<&'a Value> {
    object.get(key).ok_or_else(|| {
        let known: Vec<String> = object.keys().map(|key| format!("\"{key}\"")).collect();
        let message = format!("no key \"{key}\" for the {what}; the keys are {}", known.join(", "));
        Error::line(path, line, message)
    })
}
