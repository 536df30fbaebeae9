//! The keys under which a line of JSONL has its example.

use super::example::Form;
use super::message::Variables;

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

/// Where a line has its example: under the keys of the configuration, or as published data sets have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Layout {
    Text {
        text: String,
    },
    Exchange {
        prompt: String,
        response: String,
    },
    Messages {
        messages: String,
    },
    Choices {
        prompt: String,
        choices: String,
        answer: String,
    },
    /// ShareGPT: `conversations`, a list of objects with `from` and `value`.
    Conversations,
    /// Alpaca: `instruction`, perhaps with `input`, and `output`.
    Instruction,
    /// TRL's `prompt` and `completion`, each a list of messages.
    Completion {
        prompt: String,
        completion: String,
    },
}

impl Layout {
    /// Returns the layout of a line, by its keys; the configuration's keys come first.
    pub(super) fn of(line: &Variables, names: &KeyNames) -> Option<Self> {
        let has = |key: &str| line.get(key).is_some();
        let list =
            |key: &str| line.get(key).is_some_and(|value| value.kind() == minijinja::value::ValueKind::Seq);
        let KeyNames { text, prompt, response, messages, choices, answer } = names.clone();
        Some(match () {
            () if has(&messages) => Self::Messages { messages },
            () if has(&choices) => Self::Choices { prompt, choices, answer },
            () if has(&prompt) && !has(&response) && has("completion") => {
                let completion = "completion".to_owned();
                if list(&prompt) && list(&completion) {
                    Self::Completion { prompt, completion }
                } else {
                    Self::Exchange { prompt, response: completion }
                }
            }
            () if has(&prompt) && list(&prompt) && list(&response) => {
                Self::Completion { prompt, completion: response }
            }
            () if has(&prompt) || has(&response) => Self::Exchange { prompt, response },
            () if has("conversations") => Self::Conversations,
            () if has("instruction") && has("output") => Self::Instruction,
            () if has(&text) => Self::Text { text },
            () => return None,
        })
    }

    pub(super) fn form(&self) -> Form {
        match self {
            Self::Text { .. } => Form::Text,
            Self::Exchange { .. } | Self::Instruction => Form::Exchange,
            Self::Messages { .. } | Self::Conversations | Self::Completion { .. } => Form::Messages,
            Self::Choices { .. } => Form::Choices,
        }
    }

    /// Returns the keys in words.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text { text } => format!("texts (\"{text}\")"),
            Self::Exchange { prompt, response } => {
                format!("prompts (\"{prompt}\") with responses (\"{response}\")")
            }
            Self::Messages { messages } => format!("conversations (\"{messages}\")"),
            Self::Choices { prompt, choices, answer } => {
                format!("prompts (\"{prompt}\") with \"{choices}\" and \"{answer}\"")
            }
            Self::Conversations => "conversations (\"conversations\" with \"from\" and \"value\")".to_owned(),
            Self::Instruction => {
                "prompts (\"instruction\", an empty line and \"input\") with responses (\"output\")"
                    .to_owned()
            }
            Self::Completion { prompt, completion } => {
                format!("conversations (\"{prompt}\", of which nothing is learnt, then \"{completion}\")")
            }
        }
    }
}
