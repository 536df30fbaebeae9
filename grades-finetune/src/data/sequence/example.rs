//! What a line of a file says.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, or what else the chat template knows.
    pub role: String,
    /// What is said.
    pub content: String,
}

/// One example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Example {
    /// A text, every token of which is to be predicted.
    Text(String),
    /// A prompt and the response to be predicted.
    Exchange {
        /// What is given.
        prompt: String,
        /// What is to be predicted.
        response: String,
    },
    /// A conversation, in which the assistant's turns are to be predicted; at least one.
    Messages(Vec<Message>),
    /// A prompt and several responses, one of which is right.
    Choices {
        /// What is given.
        prompt: String,
        /// The responses, at least two.
        choices: Vec<String>,
        /// The position of the right one.
        answer: usize,
    },
}

/// What the examples of a file are.
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
    /// What they are.
    pub form: Form,
    /// Each with its line, counted from 1.
    pub list: Vec<(u64, Example)>,
}
