//! Jinja as transformers sets it up.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value};

use super::date::Date;
use super::generation::{BEGIN, END, FILTER};
use super::json::to_json;
use super::limits::FUEL;
use super::text::text;

/// Compiles named templates.
pub(super) fn environment(sources: &[(String, String)]) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    // Messages have no values of the template in them.
    environment.set_debug(false);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_filter("tojson", to_json);
    environment.add_filter("string", |value: &Value| -> Result<Value, Error> {
        if value.as_str().is_some() {
            return Ok(value.clone());
        }
        text(value).map(Value::from).ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "string: the text is too long"))
    });
    environment.set_formatter(|out, _, value| {
        use std::fmt::Write;
        let text = match value.as_str() {
            Some(text) => std::borrow::Cow::Borrowed(text),
            None => text(value).map(Into::into).ok_or_else(|| {
                Error::new(ErrorKind::InvalidOperation, "a value is too long or nested too deeply to be printed")
            })?,
        };
        out.write_str(&text).map_err(Error::from)
    });
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

/// Adds `strftime_now`, which writes a fixed date.
pub(super) fn set_date(environment: &mut Environment<'static>, date: Date) {
    environment.add_function("strftime_now", move |format: String| -> Result<Value, Error> {
        let text = date.format(&format);
        text.map(Value::from).map_err(|directive| {
            Error::new(ErrorKind::InvalidOperation, format!("strftime_now: {directive} is no part of a date"))
        })
    });
}
