//! The `[data]` table.

use std::path::PathBuf;

use grades::schema::field::{
    count, flag, optional_count, optional_path, optional_value, required_path, text, value, word,
};
use grades::schema::{Words, table};
use serde::Serialize;

use crate::data::sequence::{Date, KeyNames, TooLong, Turns};
use crate::data::{Column, Format, Header, Source};

/// The longest sequence of a classifier unless the user sets one or the model has fewer positions.
pub(super) const CLASSIFIER_TOKENS: usize = 64;
/// The longest sequence of a decoder, likewise.
pub(super) const DECODER_TOKENS: usize = 1024;

table! {
    /// The labelled sentences, or a decoder's examples.
    #[derive(Debug, Clone, Serialize)]
    pub struct DataConfig = "data" {
        /// The training examples: .tsv, .csv or .jsonl; for decoders .txt or .jsonl.
        train: PathBuf = required_path("--train FILE"),
        /// The examples for evaluation.
        eval: Option<PathBuf> = optional_path(),
        /// More examples, evaluated once at the end.
        test: Option<PathBuf> = optional_path(),
        /// The files' format, when their extensions do not say.
        format: Option<Format> = optional_value(Format::choices()),
        /// The column of the text, by name or position, "auto" by its usual names; for decoders its key.
        text: Column = value(Column::Auto, COLUMN),
        /// The column of the second text of a pair, by name or position, "auto" by the usual names of pairs.
        text_pair: Column = value(Column::Auto, COLUMN),
        /// The column of the label, by name or position, "auto" by its usual names; -1 is the last.
        label: Column = value(Column::Auto, COLUMN),
        /// Whether the first line names the columns.
        header: Header = value(Header::Auto, "true, false or \"auto\""),
        /// Leave out examples with a negative label instead of refusing them.
        skip_unlabelled: bool = flag(false),
        /// The key of a decoder's prompt.
        prompt: String = text(KeyNames::default().prompt),
        /// The key of the response to it.
        response: String = text(KeyNames::default().response),
        /// The key of a conversation.
        messages: String = text(KeyNames::default().messages),
        /// The key of the possible responses to a prompt.
        choices: String = text(KeyNames::default().choices),
        /// The key of the position of the right choice.
        answer: String = text(KeyNames::default().answer),
        /// Put prompts and responses through the model's chat template.
        chat: bool = flag(false),
        /// Which turns of the assistant are learnt.
        turns: Turns = word(Turns::All),
        /// The date that chat templates write as today's.
        date: Option<Date> = optional_value("a date such as \"2026-01-31\""),
        /// The treatment of a decoder's examples beyond `max_tokens`.
        too_long: TooLong = word(TooLong::Truncate),
        /// Pack several of a decoder's examples into a row of `max_tokens`.
        packing: bool = flag(false),
        /// The longest sequence in tokens, special ones included; longer sentences are cut.
        max_tokens: Option<usize> =
            optional_count().note(format!("{CLASSIFIER_TOKENS}, for decoders {DECODER_TOKENS}")),
        /// How many batches are sorted by length together.
        bucket: usize = count(16, 1),
    }
}

const COLUMN: &str = "a column's name or its position";

impl DataConfig {
    /// Returns the keys of a decoder's examples.
    pub fn key_names(&self) -> KeyNames {
        let text = match &self.text {
            Column::Name(name) => name.clone(),
            Column::Auto | Column::Position(_) => KeyNames::default().text,
        };
        KeyNames {
            text,
            prompt: self.prompt.clone(),
            response: self.response.clone(),
            messages: self.messages.clone(),
            choices: self.choices.clone(),
            answer: self.answer.clone(),
        }
    }

    /// Returns where the examples are in the files.
    pub fn source(&self) -> Source {
        Source {
            format: self.format,
            text: self.text.clone(),
            text_pair: self.text_pair.clone(),
            label: self.label.clone(),
            header: self.header,
            skip_unlabelled: self.skip_unlabelled,
        }
    }
}
