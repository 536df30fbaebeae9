//! Values as Python's `json.dumps` writes them.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use super::limits;

/// The deepest nesting.
const DEEPEST: usize = 500;

/// Applies the filter `tojson`, with the arguments that it has in transformers.
pub(super) fn to_json(value: &Value, arguments: Kwargs) -> Result<Value, Error> {
    let indent: Option<Value> = arguments.get("indent")?;
    let indent = match indent.filter(|indent| !indent.is_none() && !indent.is_undefined()) {
        None => None,
        Some(indent) => Some(match (indent.as_str(), indent.as_usize()) {
            (Some(text), _) => text.to_owned(),
            (None, Some(count)) if count <= 64 => " ".repeat(count),
            _ => return Err(invalid("tojson: indent is a text or a number up to 64")),
        }),
    };
    let separators: Option<Value> = arguments.get("separators")?;
    let (comma, colon) = match separators.filter(|pair| !pair.is_none() && !pair.is_undefined()) {
        Some(pair) => {
            let part = |index| pair.get_item_by_index(index).map(|part| part.to_string());
            (part(0)?, part(1)?)
        }
        None => ((if indent.is_some() { "," } else { ", " }).to_owned(), ": ".to_owned()),
    };
    let mut writer = Writer {
        out: String::new(),
        indent,
        comma,
        colon,
        ascii: arguments.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sorted: arguments.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
    };
    arguments.assert_all_used()?;
    writer.value(value, 0)?;
    Ok(Value::from(writer.out))
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.to_owned())
}

struct Writer {
    out: String,
    indent: Option<String>,
    comma: String,
    colon: String,
    ascii: bool,
    sorted: bool,
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEEPEST {
            return Err(invalid("tojson: a value is nested too deeply"));
        }
        match value.kind() {
            ValueKind::None => self.push("null"),
            ValueKind::Bool => self.push(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => {
                let text = number(value);
                self.push(&text)
            }
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.list('[', ']', items.len(), depth, |writer, at| {
                    items.get(at).map_or(Ok(()), |item| writer.value(item, depth + 1))
                })
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sorted {
                    keys.sort();
                }
                self.list('{', '}', keys.len(), depth, |writer, at| {
                    let Some(key) = keys.get(at) else { return Ok(()) };
                    match key.kind() {
                        ValueKind::String => writer.string(key.as_str().unwrap_or_default())?,
                        ValueKind::None => writer.push("\"null\"")?,
                        ValueKind::Bool => {
                            writer.push(if key.is_true() { "\"true\"" } else { "\"false\"" })?
                        }
                        ValueKind::Number => {
                            let text = number(key);
                            writer.push(&format!("\"{text}\""))?;
                        }
                        _ => return Err(invalid("tojson: a key is no text")),
                    }
                    let colon = writer.colon.clone();
                    writer.push(&colon)?;
                    writer.value(&value.get_item(key)?, depth + 1)
                })
            }
            other => Err(invalid(&format!("tojson: {other} is no JSON"))),
        }
    }

    fn list(
        &mut self,
        open: char,
        close: char,
        count: usize,
        depth: usize,
        mut item: impl FnMut(&mut Self, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.out.push(open);
        for at in 0..count {
            if at > 0 {
                let comma = self.comma.clone();
                self.push(&comma)?;
            }
            self.line(depth + 1)?;
            item(self, at)?;
        }
        if count > 0 {
            self.line(depth)?;
        }
        self.out.push(close);
        Ok(())
    }

    /// Begins a new line, where lines are indented.
    fn line(&mut self, depth: usize) -> Result<(), Error> {
        match &self.indent {
            Some(indent) => {
                let line = format!("\n{}", indent.repeat(depth));
                self.push(&line)
            }
            None => Ok(()),
        }
    }

    fn string(&mut self, text: &str) -> Result<(), Error> {
        self.out.push('"');
        for letter in text.chars() {
            match letter {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                letter if letter < ' ' => self.out.push_str(&format!("\\u{:04x}", u32::from(letter))),
                letter if self.ascii && (!letter.is_ascii() || letter == '\u{7f}') => {
                    for unit in letter.encode_utf16(&mut [0; 2]) {
                        self.out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                letter => self.out.push(letter),
            }
        }
        self.push("\"")
    }

    fn push(&mut self, text: &str) -> Result<(), Error> {
        if !limits::spend(text.len()) {
            return Err(invalid("tojson: the text is too long"));
        }
        self.out.push_str(text);
        Ok(())
    }
}

/// Returns a number as Python writes it.
fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    match f64::try_from(value.clone()) {
        Ok(number) if number.is_nan() => "NaN".to_owned(),
        Ok(number) if number.is_infinite() => {
            (if number > 0.0 { "Infinity" } else { "-Infinity" }).to_owned()
        }
        Ok(number) => float(number),
        Err(_) => value.to_string(),
    }
}

/// Returns a finite number as Python's `repr` writes it.
pub(super) fn float(number: f64) -> String {
    let size = number.abs();
    if number == 0.0 || (1e-4..1e16).contains(&size) {
        let text = number.to_string();
        return if text.contains('.') { text } else { text + ".0" };
    }
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}
