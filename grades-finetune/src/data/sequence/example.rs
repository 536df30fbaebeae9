//! The examples of a file.

use std::path::PathBuf;

use super::message::{Message, Variables};

/// One example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Example {
    /// A text, every token of which is to be predicted.
    Text(String),
    /// A prompt and the response to be predicted.
    Exchange {
        /// The text that is given.
        prompt: String,
        /// The text that is to be predicted.
        response: String,
        /// Further values for the chat template.
        variables: Variables,
    },
    /// A conversation, in which turns of the assistant are to be predicted; at least one.
    Messages {
        /// The turns.
        messages: Vec<Message>,
        /// The first turn that may be predicted; those before it are given.
        given: usize,
        /// Further values for the chat template, such as `tools`.
        variables: Variables,
    },
    /// A prompt and several responses, one of which is right.
    Choices {
        /// The text that is given.
        prompt: String,
        /// The responses, at least two.
        choices: Vec<String>,
        /// The position of the right one.
        answer: usize,
    },
}

/// The form of a file's examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// [`Example::Text`].
    Text,
    /// [`Example::Exchange`].
    Exchange,
    /// [`Example::Messages`].
    Messages,
    /// [`Example::Choices`].
    Choices,
}

/// The examples of one file, at least one, all of one form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examples {
    /// The file, for messages.
    pub path: PathBuf,
    /// The form of all.
    pub form: Form,
    /// The keys that were read, in words.
    pub keys: String,
    /// Each with its line, counted from 1.
    pub list: Vec<(u64, Example)>,
}
