//! Renders conversations by a model's chat template, as `apply_chat_template` of transformers does.

mod child;
mod conversation;
mod date;
mod environment;
mod generation;
mod json;
mod limits;
mod renderer;
mod run;
mod server;
mod text;
mod worker;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use minijinja::Value;
use serde_json::Value as Json;

pub(crate) use self::child::end_idle_process;
pub use self::child::isolate_templates;
use self::conversation::Conversation;
pub use self::date::Date;
use self::renderer::Renderer;
use self::run::DEFAULT;
pub(crate) use self::server::{COMMAND, serve};
use super::message::{Message, Variables};
use crate::data::content;
use crate::data::error::{Error, Result};
use crate::data::tokenizer::special_tokens;

/// The templates of a model directory.
///
/// Without a date `strftime_now` is undefined, so that templates that would write today's date write their fixed one
/// or are refused, and the same data gives the same tokens on any day.
#[derive(Debug)]
pub struct ChatTemplate {
    renderer: Mutex<Renderer>,
    date: Option<Date>,
    path: PathBuf,
    /// The texts of special tokens (`bos_token`, …).
    tokens: Vec<(String, String)>,
    /// Whether it marks what the assistant says.
    marks: bool,
}

/// A conversation as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rendered {
    pub(super) text: String,
    /// The assistant's text, as the template marks it, in bytes; `None` for templates without marks.
    pub(super) generated: Option<Vec<Range<usize>>>,
}

impl ChatTemplate {
    /// Reads `chat_template.jinja` and `additional_chat_templates`, or `chat_template` of `tokenizer_config.json`;
    /// `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::File`] for a file that cannot be read or a template that is not valid Jinja.
    pub fn load(dir: &Path) -> Result<Option<Self>> {
        Self::load_within(dir, Duration::from_secs(10))
    }

    /// As [`load`](Self::load), with another limit than the 10 seconds that rendering a conversation may last.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load).
    pub fn load_within(dir: &Path, time: Duration) -> Result<Option<Self>> {
        let config_path = dir.join("tokenizer_config.json");
        let config: Json = match read(&config_path)? {
            Some(text) => serde_json::from_str(&text)
                .map_err(|error| Error::file(&config_path, format!("is not valid JSON: {error}")))?,
            None => Json::Null,
        };
        let own = dir.join("chat_template.jinja");
        let mut sources = additional(dir)?;
        let path = match (read(&own)?, sources.is_empty()) {
            (Some(source), _) => {
                sources.push((DEFAULT.to_owned(), source));
                own
            }
            (None, false) => own,
            (None, true) => {
                sources = named(config.get("chat_template").unwrap_or(&Json::Null)).ok_or_else(|| {
                    let message =
                        "\"chat_template\": expected a template, or a list of {\"name\": …, \"template\": …}";
                    Error::file(&config_path, message)
                })?;
                config_path
            }
        };
        if sources.is_empty() {
            return Ok(None);
        }
        for (_, source) in &mut sources {
            limits::check_source(source)
                .map_err(|reason| Error::file(&path, format!("the chat template is refused: {reason}")))?;
            // As Jinja reads them.
            *source = generation::with_filter(&source.replace("\r\n", "\n").replace('\r', "\n"));
        }
        let marks = sources.iter().any(|(_, source)| source.contains(generation::FILTER));
        let renderer = Renderer::start(sources, time)
            .map_err(|reason| Error::file(&path, format!("the chat template is not valid: {reason}")))?;
        let (renderer, tokens) = (Mutex::new(renderer), special_tokens(dir)?);
        Ok(Some(Self { renderer, date: None, path, tokens, marks }))
    }

    /// Sets the date that `strftime_now` writes.
    #[must_use]
    pub fn with_date(self, date: Option<Date>) -> Self {
        Self { date, ..self }
    }

    /// Returns the text of a conversation; with `prompt`, the beginning of the assistant's next turn follows.
    ///
    /// # Errors
    ///
    /// [`Error::File`] with the template's own message when it fails.
    pub fn render(&self, messages: &[Message], prompt: bool) -> Result<String> {
        Ok(self.rendered(messages, &Variables::default(), prompt)?.text)
    }

    /// Renders a conversation with further variables.
    pub(super) fn rendered(
        &self,
        messages: &[Message],
        variables: &Variables,
        prompt: bool,
    ) -> Result<Rendered> {
        let conversation = Conversation {
            context: self.context(messages, variables, prompt),
            tools: variables.get("tools").is_some_and(|tools| !tools.is_none()),
            date: self.date,
        };
        let mut renderer = self.renderer.lock().unwrap_or_else(PoisonError::into_inner);
        let text = renderer.render(conversation).map_err(|reason| {
            let reason = reason.escape_debug().to_string().replace("\\'", "'").replace("\\\"", "\"");
            Error::file(&self.path, format!("the chat template {reason}"))
        })?;
        if !self.marks {
            return Ok(Rendered { text, generated: None });
        }
        let parted = generation::without_marks(&text);
        let (text, generated) = parted.ok_or_else(|| {
            Error::file(
                &self.path,
                "the chat template fails: its generation tags do not match, or the text has their marks",
            )
        })?;
        Ok(Rendered { text, generated: Some(generated) })
    }

    /// Returns the text of a special token.
    pub(super) fn token(&self, name: &str) -> Option<&str> {
        self.tokens.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

    /// Returns the variables of a conversation.
    fn context(&self, messages: &[Message], variables: &Variables, prompt: bool) -> Variables {
        let tokens = self.tokens.iter().map(|(key, text)| (key.clone(), Value::from(text.as_str())));
        let none = ["tools", "documents"].map(|key| (key.to_owned(), Value::from(())));
        let own = [
            ("messages".to_owned(), messages.iter().map(Message::to_value).collect::<Value>()),
            ("add_generation_prompt".to_owned(), Value::from(prompt)),
        ];
        // Later ones replace earlier ones.
        tokens.chain(none).chain(variables.iter()).chain(own).collect()
    }
}

/// Returns the template itself as the default one, or a list of named ones; `None` for another form.
fn named(value: &Json) -> Option<Vec<(String, String)>> {
    let text = |value: &Json| value.as_str().map(str::to_owned);
    match value {
        Json::Null => Some(Vec::new()),
        Json::String(text) => Some(vec![(DEFAULT.to_owned(), text.clone())]),
        Json::Array(list) => {
            list.iter().map(|entry| text(entry.get("name")?).zip(text(entry.get("template")?))).collect()
        }
        Json::Object(named) => named.iter().map(|(name, value)| Some((name.clone(), text(value)?))).collect(),
        _ => None,
    }
}

/// Reads the templates of `additional_chat_templates`, sorted by name.
fn additional(dir: &Path) -> Result<Vec<(String, String)>> {
    let folder = dir.join("additional_chat_templates");
    let mut list = Vec::new();
    let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(list) };
    for entry in entries {
        let path = entry.map_err(|source| Error::Io { path: folder.clone(), source })?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
        if path.extension().is_some_and(|extension| extension == "jinja")
            && let (Some(name), Some(text)) = (name, read(&path)?)
        {
            list.push((name, text));
        }
    }
    list.sort();
    Ok(list)
}

fn read(path: &Path) -> Result<Option<String>> {
    match content::read(path) {
        Ok(bytes) => Ok(Some(content::utf8(path, 1, &bytes)?.to_owned())),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
