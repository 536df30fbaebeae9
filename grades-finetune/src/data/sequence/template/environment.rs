//! Jinja as transformers sets it up.

use std::borrow::Cow;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};

use super::date::Date;
use super::generation::{BEGIN, END, FILTER};
use super::json::to_json;
use super::limits::{FUEL, spend};
use super::text::text;

/// Compiles named templates.
pub(super) fn environment(sources: &[(String, String)]) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    // Messages have no values of the template in them.
    environment.set_debug(false);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: Value| -> Result<Value, Error> {
        let message = printed(&message)?.into_owned();
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_filter("tojson", to_json);
    // The library's own of these write values whose parts share parts without end.
    environment.remove_filter("pprint");
    environment.add_filter("string", |value: &Value| printed(value).map(Value::from));
    environment.add_filter(
        "join",
        |list: &Value, separator: Option<&str>, arguments: Kwargs| -> Result<Value, Error> {
            let attribute: Option<&str> = arguments.get("attribute")?;
            let separator = separator.or(arguments.get("d")?).unwrap_or_default();
            arguments.assert_all_used()?;
            let item = |item: Value| match attribute {
                Some(name) => printed(&item.get_attr(name)?).map(Cow::into_owned),
                None => printed(&item).map(Cow::into_owned),
            };
            let items: Vec<String> = match list.as_str() {
                Some(text) => text.chars().map(String::from).collect(),
                None => list.try_iter()?.map(item).collect::<Result<_, _>>()?,
            };
            if spend(separator.len().saturating_mul(items.len())) {
                Ok(Value::from(items.join(separator)))
            } else {
                Err(too_long())
            }
        },
    );
    environment.add_filter("replace", |value: &Value, from: &str, to: &str| -> Result<Value, Error> {
        let text = printed(value)?;
        // At most all letters are replaced, and what is between them.
        let count = if from.is_empty() { text.len() + 1 } else { text.len() / from.len() };
        if !from.is_empty() && !text.contains(from) {
            return Ok(Value::from(text));
        }
        if spend(count.saturating_mul(to.len()).saturating_add(text.len())) {
            Ok(Value::from(text.replace(from, to)))
        } else {
            Err(too_long())
        }
    });
    environment.set_formatter(|out, _, value| out.write_str(&printed(value)?).map_err(Error::from));
    environment.add_filter(FILTER, |text: &str| format!("{BEGIN}{text}{END}"));
    // As in Python: texts are sequences, maps can be counted and iterated over.
    environment.add_test("sequence", |value: &Value| {
        matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map)
    });
    environment.add_test("iterable", |value: &Value| {
        matches!(
            value.kind(),
            ValueKind::Seq | ValueKind::String | ValueKind::Map | ValueKind::Iterable | ValueKind::Undefined
        )
    });
    // The templates are data of others: they may not run for ever, nor make texts that no memory has room for.
    environment.set_fuel(Some(FUEL));
    for (name, source) in sources {
        environment.add_template_owned(name.clone(), source.clone())?;
    }
    Ok(environment)
}

/// Returns a value as text.
fn printed(value: &Value) -> Result<Cow<'_, str>, Error> {
    match value.as_str() {
        Some(text) => Ok(Cow::Borrowed(text)),
        None => text(value).map(Cow::Owned).ok_or_else(too_long),
    }
}

fn too_long() -> Error {
    Error::new(ErrorKind::InvalidOperation, "a value is too long or nested too deeply to be written")
}

/// Adds `strftime_now`, which writes a fixed date.
pub(super) fn set_date(environment: &mut Environment<'static>, date: Date) {
    environment.add_function("strftime_now", move |format: String| -> Result<Value, Error> {
        let text = date.format(&format);
        text.map(Value::from).map_err(|directive| {
            Error::new(ErrorKind::InvalidOperation, format!("strftime_now: {directive} is no part of a date"))
        })
    });
}
