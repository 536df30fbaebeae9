//! Reading files of texts, exchanges, conversations and questions.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::example::{Example, Examples, Form, Message};
use crate::data::error::{Error, Result};
use crate::data::content::{lines, utf8};

/// Under which keys of a JSONL file the parts of an example are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyNames {
    /// A text (`text`).
    pub text: String,
    /// A prompt (`prompt`).
    pub prompt: String,
    /// The response to it (`response`).
    pub response: String,
    /// A conversation: a list of objects with `role` and `content` (`messages`).
    pub messages: String,
    /// Possible responses to a prompt: a list of texts (`choices`).
    pub choices: String,
    /// The right choice: its position, counted from 0 (`answer`).
    pub answer: String,
}

impl Default for KeyNames {
    fn default() -> Self {
        let [text, prompt, response, messages, choices, answer] =
            ["text", "prompt", "response", "messages", "choices", "answer"].map(str::to_owned);
        Self { text, prompt, response, messages, choices, answer }
    }
}

/// Reads a file: `.txt` is one text, `.jsonl` has an object a line, whose first line tells the form of all.
///
/// Empty lines of JSONL are skipped; a byte order mark is dropped.
///
/// # Errors
///
/// [`Error::Io`] when the file cannot be read, [`Error::File`] when its extension is another or it has no examples,
/// [`Error::Line`] for a line that is not what the first one is, or has an empty text, prompt or response.
pub fn read_examples(path: &Path, names: &KeyNames) -> Result<Examples> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_path_buf(), source })?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("txt") => {
            let text = utf8(path, 1, bytes)?;
            if text.trim().is_empty() {
                return Err(Error::file(path, "has no text"));
            }
            let list = vec![(1, Example::Text(text.to_owned()))];
            Ok(Examples { path: path.to_path_buf(), form: Form::Text, list })
        }
        Some("jsonl") => read_lines(path, bytes, names),
        _ => Err(Error::file(
            path,
            "a decoder is trained on .txt (one text) or .jsonl (an object with a text, a prompt and a response, or \
             messages a line)",
        )),
    }
}

fn read_lines(path: &Path, bytes: &[u8], names: &KeyNames) -> Result<Examples> {
    let mut form = None;
    let mut list = Vec::new();
    for (line, bytes) in lines(bytes) {
        let content = utf8(path, line, bytes)?;
        if content.trim().is_empty() {
            continue;
        }
        let object: Map<String, Value> = serde_json::from_str(content)
            .map_err(|error| Error::line(path, line, format!("expected one JSON object a line: {error}")))?;
        let record = Record { path, line, object, names };
        let form = match form {
            Some(form) => form,
            None => *form.insert(record.form()?),
        };
        list.push((line, record.example(form)?));
    }
    let form = form.ok_or_else(|| Error::file(path, "has no examples"))?;
    Ok(Examples { path: path.to_path_buf(), form, list })
}

/// One line.
struct Record<'a> {
    path: &'a Path,
    line: u64,
    object: Map<String, Value>,
    names: &'a KeyNames,
}

impl Record<'_> {
    fn error(&self, message: impl Into<String>) -> Error {
        Error::line(self.path, self.line, message)
    }

    fn form(&self) -> Result<Form> {
        let names = self.names;
        let has = |key: &String| self.object.contains_key(key);
        match () {
            () if has(&names.messages) => Ok(Form::Messages),
            () if has(&names.choices) => Ok(Form::Choices),
            () if has(&names.prompt) || has(&names.response) => Ok(Form::Exchange),
            () if has(&names.text) => Ok(Form::Text),
            () => {
                let keys: Vec<String> = self.object.keys().map(|key| format!("\"{key}\"")).collect();
                Err(self.error(format!(
                    "expected \"{}\", \"{}\" with \"{}\", \"{}\", or \"{}\" with \"{}\" and \"{}\"; the keys are {}",
                    names.text,
                    names.prompt,
                    names.response,
                    names.messages,
                    names.prompt,
                    names.choices,
                    names.answer,
                    if keys.is_empty() { "none".to_owned() } else { keys.join(", ") }
                )))
            }
        }
    }

    fn example(&self, form: Form) -> Result<Example> {
        let names = self.names;
        match form {
            Form::Text => Ok(Example::Text(self.text(&names.text)?)),
            Form::Exchange => Ok(Example::Exchange {
                prompt: self.text(&names.prompt)?,
                response: self.text(&names.response)?,
            }),
            Form::Messages => self.messages().map(Example::Messages),
            Form::Choices => {
                let choices: Vec<String> = self.value(&names.choices, "a list of texts")?;
                let answer: usize = self.value(&names.answer, "the position of a choice, from 0")?;
                if choices.len() < 2 || answer >= choices.len() {
                    return Err(self.error(format!(
                        "\"{}\" is {answer} of {} \"{}\"; expected at least two choices and the position of one",
                        names.answer,
                        choices.len(),
                        names.choices
                    )));
                }
                if choices.iter().any(|choice| choice.trim().is_empty()) {
                    return Err(self.error(format!("\"{}\": a choice is empty", names.choices)));
                }
                Ok(Example::Choices { prompt: self.text(&names.prompt)?, choices, answer })
            }
        }
    }

    /// A text that is not empty.
    fn text(&self, key: &str) -> Result<String> {
        let text: String = self.value(key, "a string")?;
        if text.trim().is_empty() {
            return Err(self.error(format!("\"{key}\" is empty")));
        }
        Ok(text)
    }

    fn messages(&self) -> Result<Vec<Message>> {
        let key = &self.names.messages;
        let messages: Vec<Message> =
            self.value(key, "a list of objects with a \"role\" and a \"content\"")?;
        let mut answers = messages.iter().filter(|message| message.role == "assistant").peekable();
        if answers.peek().is_none() {
            return Err(
                self.error(format!("\"{key}\" has no message of the role \"assistant\" to learn from"))
            );
        }
        if answers.any(|message| message.content.trim().is_empty()) {
            return Err(self.error(format!("\"{key}\": a message of the assistant is empty")));
        }
        Ok(messages)
    }

    fn value<T: DeserializeOwned>(&self, key: &str, expected: &str) -> Result<T> {
        let value = self.object.get(key).ok_or_else(|| {
            let known: Vec<String> = self.object.keys().map(|key| format!("\"{key}\"")).collect();
            self.error(format!("no key \"{key}\"; the keys are {}", known.join(", ")))
        })?;
        T::deserialize(value).map_err(|error| self.error(format!("\"{key}\": expected {expected}: {error}")))
    }
}
