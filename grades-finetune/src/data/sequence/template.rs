//! A model's chat template: conversations to text, as `apply_chat_template` of transformers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, Value, context};
use serde_json::Value as Json;

use super::example::Message;
use crate::data::error::{Error, Result};

/// The template of a model directory.
///
/// `strftime_now` is left undefined, so that templates that would write today's date write their fixed one and the
/// same data gives the same tokens on any day.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    path: PathBuf,
    /// The texts of special tokens that templates speak of (`bos_token`, …).
    tokens: Vec<(String, String)>,
}

const NAME: &str = "chat";

impl ChatTemplate {
    /// Reads `chat_template.jinja`, or `chat_template` of `tokenizer_config.json`; `None` when there is neither.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::File`] for a file that cannot be read or a template that is not valid Jinja.
    pub fn load(dir: &Path) -> Result<Option<Self>> {
        let config_path = dir.join("tokenizer_config.json");
        let config: Json = match read(&config_path)? {
            Some(text) => serde_json::from_str(&text)
                .map_err(|error| Error::file(&config_path, format!("is not valid JSON: {error}")))?,
            None => Json::Null,
        };
        let own = dir.join("chat_template.jinja");
        let (path, source) = match (read(&own)?, config.get("chat_template").and_then(template_text)) {
            (Some(source), _) => (own, source),
            (None, Some(source)) => (config_path, source),
            (None, None) => return Ok(None),
        };
        let mut tokens = Vec::new();
        for (key, value) in
            config.as_object().into_iter().flatten().filter(|(key, _)| key.ends_with("_token"))
        {
            // A token is its text, or an object that has it.
            if let Some(text) = value.as_str().or_else(|| value.get("content").and_then(Json::as_str)) {
                tokens.push((key.clone(), text.to_owned()));
            }
        }
        let environment = environment(source)
            .map_err(|error| Error::file(&path, format!("the chat template is not valid: {error}")))?;
        Ok(Some(Self { environment, path, tokens }))
    }

    /// The text of a conversation; with `prompt`, the beginning of the assistant's next turn follows.
    ///
    /// # Errors
    ///
    /// [`Error::File`] with the template's own message when it fails.
    pub fn render(&self, messages: &[Message], prompt: bool) -> Result<String> {
        // What transformers passes when nothing else is given.
        let given = context! {
            messages => Value::from(Serde(messages)),
            add_generation_prompt => prompt,
            tools => (),
            documents => (),
        };
        let tokens: BTreeMap<&str, &str> =
            self.tokens.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect();
        let merged = minijinja::value::merge_maps([given, Value::from(Serde(tokens))]);
        let mut limited = Limited::default();
        let template = self.environment.get_template(NAME);
        let rendered =
            template.and_then(|template| template.render_captured_to(merged, &mut limited).map(drop));
        let rendered = rendered.map(|()| String::from_utf8_lossy(&limited.text).into_owned());
        rendered.map_err(|error| {
            let reason = error.detail().map_or_else(|| error.to_string(), str::to_owned);
            let line = error.line().map_or_else(String::new, |line| format!(" in line {line}"));
            Error::file(&self.path, format!("the chat template fails{line}: {reason}"))
        })
    }
}

fn environment(source: String) -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<Value, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_filter("tojson", to_json);
    // A template is data of others: it may not run for ever, nor make texts that no memory holds.
    environment.set_fuel(Some(FUEL));
    environment.add_template_owned(NAME, source)?;
    Ok(environment)
}

/// The instructions that a template may run for one conversation, for which the texts that it makes pay as well;
/// published ones need some thousands.
const FUEL: u64 = 1_000_000;

/// The longest conversation, in bytes.
const LONGEST: usize = 32 << 20;

/// Ends a template that writes on and on: what prints a long list pays for it only afterwards, if at all.
#[derive(Default)]
struct Limited {
    text: Vec<u8>,
    pieces: u64,
}

impl std::io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // What an instruction writes is one piece, but for lists and maps, of whose elements each is one or more.
        self.pieces += 1;
        if self.text.len() + bytes.len() > LONGEST || self.pieces > FUEL {
            return Err(std::io::Error::other("its text is too long"));
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// As Python's `json.dumps(value, ensure_ascii=False)` writes it: a space after each comma and colon, nothing escaped
/// for HTML.
fn to_json(value: Value) -> Result<Value, minijinja::Error> {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Spaced);
    serde::Serialize::serialize(&value, &mut serializer)
        .map_err(|error| minijinja::Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    let text = String::from_utf8(out)
        .map_err(|error| minijinja::Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    Ok(Value::from_safe_string(text))
}

struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> std::io::Result<()> {
        out.write_all(b": ")
    }
}

/// The template itself, or the one called `default` of a list of named ones.
fn template_text(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Array(list) => list
            .iter()
            .find(|entry| entry.get("name").and_then(Json::as_str) == Some("default"))
            .and_then(|entry| entry.get("template"))
            .and_then(Json::as_str)
            .map(str::to_owned),
        _ => None,
    }
}

fn read(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { path: path.to_path_buf(), source }),
    }
}
