//! Reads files of texts, exchanges, conversations and questions.

use std::path::Path;

use minijinja::Value;
use minijinja::value::ValueKind;
use serde::de::DeserializeOwned;

use super::example::{Example, Examples, Form};
use super::layout::{KeyNames, Layout};
use super::message::{Message, Variables};
use crate::data::content::{self, lines, utf8};
use crate::data::error::{Error, Result};

/// Reads a file: `.txt` is one text, `.jsonl` has an object a line; the first line decides the form of all.
///
/// Empty lines of JSONL are skipped; a byte order mark is dropped. ShareGPT's, Alpaca's and TRL's keys are known.
///
/// # Errors
///
/// [`Error::Io`] when the file cannot be read, [`Error::File`] when its extension is another or it has no examples,
/// [`Error::Line`] for a line that is of another form than the first, or has an empty text, prompt or response.
pub fn read_examples(path: &Path, names: &KeyNames) -> Result<Examples> {
    let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
    match extension.as_deref() {
        Some("txt") => {
            let bytes = content::read(path)?;
            let text = utf8(path, 1, &bytes)?;
            if text.trim().is_empty() {
                return Err(Error::file(path, "has no text"));
            }
            let list = vec![(1, Example::Text(text.to_owned()))];
            Ok(Examples { path: path.to_path_buf(), form: Form::Text, keys: "one text".to_owned(), list })
        }
        Some("jsonl" | "ndjson") => read_lines(path, &content::read(path)?, names),
        other => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let cure = match other {
                Some("json") => format!(
                    "; of a JSON array `jq -c '.[]' {name} > lines.jsonl` makes one object a line; a file that has one \
                     already is to be named .jsonl"
                ),
                _ => String::new(),
            };
            let message = "a decoder is trained on .txt (one text) or .jsonl (an object with a text, a prompt and a response, \
                           or messages a line)";
            Err(Error::file(path, format!("{message}{cure}")))
        }
    }
}

fn read_lines(path: &Path, bytes: &[u8], names: &KeyNames) -> Result<Examples> {
    let mut layout = None;
    let mut list = Vec::new();
    for (line, bytes) in lines(bytes) {
        let text = utf8(path, line, bytes)?;
        if text.trim().is_empty() {
            continue;
        }
        let fields: Variables = content::object(path, line, text)?;
        let record = Record { path, line, fields };
        let layout = match &layout {
            Some(layout) => layout,
            None => &*layout.insert(Layout::of(&record.fields, names).ok_or_else(|| record.unknown(names))?),
        };
        list.push((line, record.example(layout)?));
    }
    let layout = layout.ok_or_else(|| Error::file(path, "has no examples"))?;
    Ok(Examples { path: path.to_path_buf(), form: layout.form(), keys: layout.shown(), list })
}

/// One line.
struct Record<'a> {
    path: &'a Path,
    line: u64,
    fields: Variables,
}

impl Record<'_> {
    fn error(&self, message: impl Into<String>) -> Error {
        Error::line(self.path, self.line, message)
    }

    fn keys(&self) -> String {
        let mut keys: Vec<String> =
            self.fields.keys().map(|key| format!("\"{}\"", key.escape_debug())).collect();
        keys.sort();
        if keys.is_empty() { "none".to_owned() } else { keys.join(", ") }
    }

    fn unknown(&self, names: &KeyNames) -> Error {
        self.error(format!(
            "expected \"{}\", \"{}\" with \"{}\", \"{}\", or \"{}\" with \"{}\" and \"{}\"; the keys are {}; other keys are \
             named by --set data.prompt=KEY --set data.response=KEY, data.text or data.messages",
            names.text,
            names.prompt,
            names.response,
            names.messages,
            names.prompt,
            names.choices,
            names.answer,
            self.keys()
        ))
    }

    fn example(&self, layout: &Layout) -> Result<Example> {
        match layout {
            Layout::Text { text } => Ok(Example::Text(self.text(text)?)),
            Layout::Exchange { prompt, response } => Ok(Example::Exchange {
                prompt: self.text(prompt)?,
                response: self.text(response)?,
                variables: self.variables(&[prompt, response])?,
            }),
            Layout::Instruction => {
                let instruction = self.text("instruction")?;
                // Often empty.
                let input = self.fields.text("input").unwrap_or_default();
                let prompt =
                    if input.trim().is_empty() { instruction } else { format!("{instruction}\n\n{input}") };
                let variables = self.variables(&["instruction", "input", "output"])?;
                Ok(Example::Exchange { prompt, response: self.text("output")?, variables })
            }
            Layout::Messages { messages } => {
                let list = self.messages(messages)?;
                self.conversation(messages, list, 0, &[messages])
            }
            Layout::Conversations => {
                const KEY: &str = "conversations";
                let list = self.messages(KEY)?;
                self.conversation(KEY, list, 0, &[KEY])
            }
            Layout::Completion { prompt, completion } => {
                let mut list = self.messages(prompt)?;
                let given = list.len();
                list.extend(self.messages(completion)?);
                self.conversation(completion, list, given, &[prompt, completion])
            }
            Layout::Choices { prompt, choices, answer } => self.choices(prompt, choices, answer),
        }
    }

    fn choices(&self, prompt: &str, choices_key: &str, answer_key: &str) -> Result<Example> {
        let choices: Vec<String> = self.value(choices_key, "a list of texts")?;
        let answer: usize = self.value(answer_key, "the position of a choice, from 0")?;
        if choices.len() < 2 || answer >= choices.len() {
            return Err(self.error(format!(
                "\"{answer_key}\" is {answer} of {} \"{choices_key}\"; expected at least two choices and the position of \
                 one",
                choices.len()
            )));
        }
        if choices.iter().any(|choice| choice.trim().is_empty()) {
            return Err(self.error(format!("\"{choices_key}\": a choice is empty")));
        }
        Ok(Example::Choices { prompt: self.text(prompt)?, choices, answer })
    }

    /// Returns a text that is not empty.
    fn text(&self, key: &str) -> Result<String> {
        let value = self.fields.get(key).ok_or_else(|| self.missing(key))?;
        let Some(text) = value.as_str() else {
            let found = match value.kind() {
                ValueKind::Seq => "a list".to_owned(),
                ValueKind::Map => "an object".to_owned(),
                ValueKind::None => "null".to_owned(),
                _ => value.to_string(),
            };
            return Err(self.error(format!("\"{key}\": expected a string, found {found}")));
        };
        if text.trim().is_empty() {
            return Err(self.error(format!("\"{key}\" is empty")));
        }
        Ok(text.to_owned())
    }

    fn messages(&self, key: &str) -> Result<Vec<Message>> {
        let expected =
            || self.error(format!("\"{key}\": expected a list of objects with a \"role\" and a \"content\""));
        let value = self.fields.get(key).ok_or_else(|| self.missing(key))?;
        if value.kind() != ValueKind::Seq {
            return Err(expected());
        }
        let mut list = Vec::new();
        for item in value.try_iter().map_err(|_| expected())? {
            let mut fields = Variables::of(&item).ok_or_else(expected)?;
            if fields.get("role").is_none()
                && let (Some(from), Some(value)) = (fields.text("from"), fields.get("value").cloned())
            {
                let role = Value::from(role_of(from));
                fields = fields.without(&["from", "value"]);
                fields.set("role", role);
                fields.set("content", value);
            }
            let message = Message::of(fields);
            if message.role().is_none() {
                return Err(expected());
            }
            list.push(message);
        }
        Ok(list)
    }

    fn conversation(&self, key: &str, messages: Vec<Message>, given: usize, own: &[&str]) -> Result<Example> {
        let learnt = || messages.iter().skip(given);
        let mut answers = learnt().filter(|message| message.role() == Some("assistant")).peekable();
        if answers.peek().is_none() {
            let mut roles: Vec<&str> = learnt().filter_map(Message::role).collect();
            roles.sort_unstable();
            roles.dedup();
            let roles = match roles.len() {
                0 => String::new(),
                _ => format!("; the roles are {}", roles.join(", ").escape_debug()),
            };
            return Err(self
                .error(format!("\"{key}\" has no message of the role \"assistant\" to learn from{roles}")));
        }
        if answers.any(Message::is_empty) {
            return Err(self.error(format!("\"{key}\": a message of the assistant is empty")));
        }
        Ok(Example::Messages { variables: self.variables(own)?, messages, given })
    }

    /// Returns the fields of the line that the chat template gets besides the messages.
    fn variables(&self, own: &[&str]) -> Result<Variables> {
        const OPTIONS: &str = "chat_template_kwargs";
        let mut variables = self.fields.without(own).without(&["add_generation_prompt", "messages", OPTIONS]);
        if let Some(options) = self.fields.get(OPTIONS).and_then(Variables::of) {
            for (key, value) in options.iter() {
                variables.set(&key, value);
            }
        }
        // Data sets whose columns have one type have tools as text.
        if let Some(text) = variables.text("tools") {
            let tools = serde_json::from_str::<Value>(text).map_err(|error| {
                self.error(format!("\"tools\": expected a list, or a text with a list in JSON: {error}"))
            })?;
            variables.set("tools", tools);
        }
        Ok(variables)
    }

    fn missing(&self, key: &str) -> Error {
        self.error(format!("no key \"{key}\"; the keys are {}", self.keys()))
    }

    fn value<T: DeserializeOwned>(&self, key: &str, expected: &str) -> Result<T> {
        let value = self.fields.get(key).ok_or_else(|| self.missing(key))?;
        let read = serde_json::to_value(value).and_then(T::deserialize);
        read.map_err(|error| self.error(format!("\"{key}\": expected {expected}: {error}")))
    }
}

/// Returns the role of a speaker in ShareGPT's words.
fn role_of(from: &str) -> &str {
    match from {
        "human" | "user" => "user",
        "gpt" | "assistant" | "model" | "chatgpt" | "bot" => "assistant",
        "function_response" | "observation" | "tool" => "tool",
        other => other,
    }
}
