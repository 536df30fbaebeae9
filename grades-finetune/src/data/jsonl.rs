//! Labelled sentences as JSON, one object a line.

use std::path::Path;

use serde_json::{Map, Value};

use super::column::Column;
use super::content::{lines, object, utf8};
use super::error::{Error, Result};
use super::names::Role;
use super::record::{Columns, Records, Source, record};

/// Makes examples of all lines.
pub(super) fn records(path: &Path, bytes: &[u8], source: &Source) -> Result<Records> {
    for (column, role) in [(&source.text, Role::Text), (&source.label, Role::Label)] {
        no_position(path, bytes, column, role)?;
    }
    if let (Column::Name(text), Column::Name(label)) = (&source.text, &source.label)
        && text == label
    {
        return Err(Error::file(path, format!("text and label are the same key \"{text}\"")));
    }
    let mut records = Records { path: path.to_path_buf(), ..Records::default() };
    let mut keys: Option<(String, String)> = None;
    for (line, bytes) in lines(bytes) {
        let content = utf8(path, line, bytes)?;
        if content.trim().is_empty() {
            continue;
        }
        let mut object: Map<String, Value> = object(path, line, content)?;
        let (text, label) = match &keys {
            Some(keys) => keys,
            None => &*keys.insert(find(path, line, &object, source)?),
        };
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
        let sentence = match object.remove(text) {
            Some(Value::String(sentence)) => sentence,
            other => {
                let found = match other {
                    Some(Value::Array(_)) => "a list".to_owned(),
                    Some(Value::Object(_)) => "an object".to_owned(),
                    other => other.unwrap_or_default().to_string(),
                };
                return Err(Error::line(path, line, format!("\"{text}\": expected a string, found {found}")));
            }
        };
        match record(path, line, sentence, &label, source)? {
            Some(record) => records.list.push(record),
            None => records.unlabelled += 1,
        }
    }
    records.columns = keys
        .map(|(text, label)| Columns { text: format!("key \"{text}\""), label: format!("key \"{label}\"") });
    Ok(records)
}

fn no_position(path: &Path, bytes: &[u8], column: &Column, role: Role) -> Result<()> {
    let Column::Position(position) = column else { return Ok(()) };
    let first =
        lines(bytes).next().and_then(|(_, line)| serde_json::from_slice::<Map<String, Value>>(line).ok());
    let keys = first
        .map_or_else(String::new, |object| format!("; the keys of the first line are {}", listed(&object)));
    let what = role.word();
    let message = format!(
        "{what} = {position}: JSONL has keys, not positions; give the key's name, such as --set data.{what}={what}{keys}"
    );
    Err(Error::file(path, message))
}

/// Returns the keys of the text and the label.
fn find(path: &Path, line: u64, object: &Map<String, Value>, source: &Source) -> Result<(String, String)> {
    let keys: Vec<&str> = object.keys().map(String::as_str).collect();
    let key = |column: &Column, role: Role| match column {
        Column::Name(name) => Some(name.clone()),
        _ => role.find(keys.iter().copied()).and_then(|at| keys.get(at)).map(|key| (*key).to_owned()),
    };
    match (key(&source.text, Role::Text), key(&source.label, Role::Label)) {
        (Some(text), Some(label)) if text != label => Ok((text, label)),
        _ => {
            let message = format!(
                "nothing says which key is the text and which the label; say so with --set data.text=KEY --set \
                 data.label=KEY; the keys are {}",
                listed(object)
            );
            Err(Error::line(path, line, message))
        }
    }
}

fn listed(object: &Map<String, Value>) -> String {
    let keys: Vec<String> = object.keys().map(|key| format!("\"{key}\"")).collect();
    if keys.is_empty() { "none".to_owned() } else { keys.join(", ") }
}

fn value<'a>(
    path: &Path,
    line: u64,
    object: &'a Map<String, Value>,
    key: &str,
    what: &str,
) -> Result<&'a Value> {
    object.get(key).ok_or_else(|| {
        let message = format!("no key \"{key}\" for the {what}; the keys are {}", listed(object));
        Error::line(path, line, message)
    })
}
