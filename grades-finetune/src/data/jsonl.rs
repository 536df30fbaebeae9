//! Labelled sentences as JSON, one object a line.

use std::path::Path;

use serde_json::{Map, Value};

use super::column::Column;
use super::content::{lines, object, utf8};
use super::error::{Error, Result};
use super::names::{self, Role};
use super::record::{Columns, Records, Source, record};

/// Makes examples of all lines.
pub(super) fn records(path: &Path, bytes: &[u8], source: &Source) -> Result<Records> {
    let given = [(&source.text, Role::Text), (&source.text_pair, Role::Pair), (&source.label, Role::Label)];
    for (at, (column, role)) in given.into_iter().enumerate() {
        no_position(path, bytes, column, role)?;
        let same = |other: &&(&Column, Role)| matches!(column, Column::Name(_)) && other.0 == column;
        if let Some((_, other)) = given.iter().take(at).find(same) {
            let (one, other) = (other.word(), role.word());
            return Err(Error::file(path, format!("{one} and {other} are the same key {column}")));
        }
    }
    let mut records = Records { path: path.to_path_buf(), ..Records::default() };
    let mut keys: Option<Keys> = None;
    for (line, bytes) in lines(bytes) {
        let content = utf8(path, line, bytes)?;
        if content.trim().is_empty() {
            continue;
        }
        let mut object: Map<String, Value> = object(path, line, content)?;
        let Keys { text, pair, label } = match &keys {
            Some(keys) => keys,
            None => &*keys.insert(find(path, line, &object, source)?),
        };
        let label = match value(path, line, &object, label, "label")? {
            Value::String(word) => word.clone(),
            Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            other => {
                let cure = if other.is_number() { "; write 1 for 1.0" } else { "" };
                let message = format!(
                    "\"{label}\": expected a word, a whole number or true/false, found {other}{cure}"
                );
                return Err(Error::line(path, line, message));
            }
        };
        let sentence = sentence(path, line, &mut object, text, Role::Text)?;
        let pair = match pair {
            Some(pair) => Some(self::sentence(path, line, &mut object, pair, Role::Pair)?),
            None => None,
        };
        match record(path, line, sentence, pair, &label, source)? {
            Some(record) => records.list.push(record),
            None => records.unlabelled += 1,
        }
    }
    let shown = |key: String| format!("key \"{key}\"");
    records.columns = keys.map(|keys| Columns {
        text: shown(keys.text),
        pair: keys.pair.map(shown),
        label: shown(keys.label),
    });
    Ok(records)
}

/// The keys of an example.
struct Keys {
    text: String,
    pair: Option<String>,
    label: String,
}

/// Returns the text of a key.
fn sentence(
    path: &Path,
    line: u64,
    object: &mut Map<String, Value>,
    key: &str,
    role: Role,
) -> Result<String> {
    value(path, line, object, key, role.word())?;
    let found = match object.remove(key) {
        Some(Value::String(sentence)) => return Ok(sentence),
        Some(Value::Array(_)) => "a list".to_owned(),
        Some(Value::Object(_)) => "an object".to_owned(),
        other => other.unwrap_or_default().to_string(),
    };
    Err(Error::line(path, line, format!("\"{key}\": expected a string, found {found}")))
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

/// Returns the keys of the texts and the label.
fn find(path: &Path, line: u64, object: &Map<String, Value>, source: &Source) -> Result<Keys> {
    let keys: Vec<&str> = object.keys().map(String::as_str).collect();
    let key = |column: &Column, role: Role| match column {
        Column::Name(name) => Some(name.clone()),
        _ => role.find(keys.iter().copied()).and_then(|at| keys.get(at)).map(|key| (*key).to_owned()),
    };
    let given = |column: &Column| match column {
        Column::Name(name) => Some(name.clone()),
        _ => None,
    };
    let named = |at: usize| keys.get(at).map(|key| (*key).to_owned());
    let known = names::pair(keys.iter().copied())
        .and_then(|(first, second)| named(first).zip(named(second)))
        .filter(|(_, second)| {
            source.text_pair == Column::Auto || given(&source.text_pair).as_ref() == Some(second)
        })
        .filter(|_| source.text == Column::Auto);
    let (text, pair) = match known {
        Some((first, second)) => (Some(first), Some(second)),
        None => (key(&source.text, Role::Text), given(&source.text_pair)),
    };
    match (text, key(&source.label, Role::Label)) {
        (Some(text), Some(label))
            if text != label && pair.as_ref() != Some(&text) && pair.as_ref() != Some(&label) =>
        {
            Ok(Keys { text, pair, label })
        }
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
