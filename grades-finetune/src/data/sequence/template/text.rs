//! Values as Python prints them.

use minijinja::Value;
use minijinja::value::{Tuple, ValueKind};

use super::json::float;
use super::limits::spend;

/// The deepest nesting.
const DEEPEST: usize = 500;

/// Returns a value as Python's `str` writes it; `None` beyond the limits.
pub(super) fn text(value: &Value) -> Option<String> {
    let mut out = String::new();
    match value.kind() {
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => repr(value, 0, &mut out)?,
        ValueKind::Number if !value.is_integer() => number(value, &mut out),
        _ => push(&mut out, &value.to_string())?,
    }
    Some(out)
}

fn repr(value: &Value, depth: usize, out: &mut String) -> Option<()> {
    if depth > DEEPEST {
        return None;
    }
    match value.kind() {
        ValueKind::Seq => {
            let tuple = value.downcast_object_ref::<Tuple>().is_some();
            push(out, if tuple { "(" } else { "[" })?;
            let mut count = 0;
            for item in value.try_iter().ok()? {
                push(out, if count > 0 { ", " } else { "" })?;
                repr(&item, depth + 1, out)?;
                count += 1;
            }
            push(out, if tuple && count == 1 { "," } else { "" })?;
            push(out, if tuple { ")" } else { "]" })
        }
        ValueKind::Map => {
            push(out, "{")?;
            for (at, key) in value.try_iter().ok()?.enumerate() {
                push(out, if at > 0 { ", " } else { "" })?;
                repr(&key, depth + 1, out)?;
                push(out, ": ")?;
                repr(&value.get_item(&key).ok()?, depth + 1, out)?;
            }
            push(out, "}")
        }
        ValueKind::Number if !value.is_integer() => {
            number(value, out);
            Some(())
        }
        // A text in quotation marks, or a word.
        _ => push(out, &format!("{value:?}")),
    }
}

fn number(value: &Value, out: &mut String) {
    match f64::try_from(value.clone()) {
        Ok(number) if number.is_nan() => out.push_str("nan"),
        Ok(number) if number.is_infinite() => out.push_str(if number > 0.0 { "inf" } else { "-inf" }),
        Ok(number) => out.push_str(&float(number)),
        Err(_) => out.push_str(&value.to_string()),
    }
}

fn push(out: &mut String, text: &str) -> Option<()> {
    spend(text.len()).then(|| out.push_str(text))
}
