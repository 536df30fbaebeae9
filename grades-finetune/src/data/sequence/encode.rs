//! Makes sequences of examples.

use grades::schema::words;

use super::example::{Example, Examples, Form};
use super::message::{Message, Variables};
use super::sequences::{Choice, Question, Sequence, Sequences};
use super::template::ChatTemplate;
use super::turns::{self, Turns};
use super::vocabulary::Vocabulary;
use crate::data::error::{Error, Result};

words! {
    /// The fate of an example that is longer than the longest sequence.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum TooLong: "too_long" {
        /// Its end is cut off and it is counted; a response of which nothing would be left is an error.
        #[default]
        Truncate = "truncate",
        /// It is an error that names its line.
        Refuse = "refuse",
        /// It is left out and counted.
        Skip = "skip",
    }
}

/// How examples become sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeOptions {
    /// The longest sequence.
    pub max_tokens: usize,
    /// How longer examples are handled; a text is cut into several instead.
    pub too_long: TooLong,
    /// Which turns of conversations are learnt.
    pub turns: Turns,
    /// Put prompts and responses through the chat template, as a turn of the user and one of the assistant.
    pub chat: bool,
}

/// Makes sequences for one model.
#[derive(Debug)]
pub struct Encoder {
    /// The tokenizer.
    pub vocabulary: Vocabulary,
    /// The chat template, where the model has one.
    pub template: Option<ChatTemplate>,
    /// The token that ends a text or a response.
    pub end: Option<u32>,
    /// How.
    pub options: EncodeOptions,
}

impl Encoder {
    /// Encodes all examples of a file.
    ///
    /// A text is cut into sequences of at most `max_tokens`, whose every token but the first is predicted; the end
    /// token follows it. Of an exchange the response and the end token are predicted. A conversation is rendered by the
    /// chat template; in it the assistant's turns are predicted. Prompt and response, or all turns, are one text, which
    /// is encoded once: tokens that have a part of what is predicted are predicted.
    ///
    /// # Errors
    ///
    /// [`Error::Line`] for an example that is too long where that is refused or nothing would be left, or that the
    /// template refuses; [`Error::File`] when the tokenizer fails or gives ids beyond the vocabulary, a chat template
    /// is needed and missing, or no example is left.
    pub fn encode(&self, examples: &Examples) -> Result<Sequences> {
        let mut sequences = Sequences {
            answers: matches!(examples.form, Form::Exchange | Form::Messages),
            ..Sequences::default()
        };
        for (line, example) in &examples.list {
            let at = |error: Error| match error {
                error @ (Error::Line { .. } | Error::Io { .. } | Error::Torch(_)) => error,
                error => Error::line(&examples.path, *line, error.to_string()),
            };
            self.add(example, &mut sequences).map_err(at)?;
        }
        if sequences.is_empty() {
            let (skipped, longest) = (sequences.skipped, self.options.max_tokens);
            let message = format!("no example is left: {skipped} are longer than max_tokens = {longest}");
            return Err(Error::file(&examples.path, message));
        }
        Ok(sequences)
    }

    /// Returns the ids of a prompt, to be continued: through the chat template as the user's turn, or as it is.
    ///
    /// # Errors
    ///
    /// [`Error::File`] when the tokenizer or the template fails, [`Error::Input`] when there is no template.
    pub fn prompt(&self, text: &str) -> Result<Vec<u32>> {
        if !self.options.chat {
            return self.vocabulary.encode(text, true);
        }
        self.vocabulary.encode(&self.template()?.render(&[Message::new("user", text)], true)?, false)
    }

    fn add(&self, example: &Example, sequences: &mut Sequences) -> Result<()> {
        match example {
            Example::Text(text) => self.add_text(text, sequences),
            Example::Exchange { prompt, response, variables } => {
                let sequence = self.exchange(prompt, response, variables)?;
                self.add_fitting(sequence, sequences)
            }
            Example::Messages { messages, given, variables } => {
                let sequence = self.conversation(messages, *given, variables)?;
                self.add_fitting(sequence, sequences)
            }
            Example::Choices { prompt, choices, answer } => {
                self.add_question(prompt, choices, *answer, sequences)
            }
        }
    }

    fn add_text(&self, text: &str, sequences: &mut Sequences) -> Result<()> {
        let mut ids = self.vocabulary.encode(text, true)?;
        if self.end.is_some() && ids.last().copied() != self.end {
            ids.extend(self.end);
        }
        // The last token of a piece is the first of the next, so that every token is predicted once.
        let stride = self.options.max_tokens.saturating_sub(1).max(1);
        let mut start = 0;
        while start + 1 < ids.len() {
            let end = (start + stride + 1).min(ids.len());
            let piece: Vec<u32> = ids.get(start..end).unwrap_or_default().to_vec();
            let targets = one(1..piece.len());
            sequences.list.push(Sequence { ids: piece, targets });
            start += stride;
        }
        Ok(())
    }

    fn add_question(
        &self,
        prompt: &str,
        choices: &[String],
        answer: usize,
        sequences: &mut Sequences,
    ) -> Result<()> {
        let longest = self.options.max_tokens;
        let mut list = Vec::with_capacity(choices.len());
        for choice in choices {
            let sequence = self.exchange(prompt, choice, &Variables::default())?;
            let length = sequence.ids.len();
            // Cut choices cannot be compared.
            if length > longest {
                if self.options.too_long == TooLong::Skip {
                    sequences.skipped += 1;
                    return Ok(());
                }
                return Err(Error::Input(format!(
                    "the prompt and a choice have {length} tokens, more than max_tokens = {longest}; a choice is not cut"
                )));
            }
            list.push(Choice { sequence, bytes: choice.len() });
        }
        if let Some(right) = list.get(answer) {
            sequences.list.push(right.sequence.clone());
            sequences.questions.push(Question { choices: list, answer });
        }
        Ok(())
    }

    fn exchange(&self, prompt: &str, response: &str, variables: &Variables) -> Result<Sequence> {
        if self.options.chat {
            let messages = [Message::new("user", prompt), Message::new("assistant", response)];
            return self.conversation(&messages, 0, variables);
        }
        let end = self.end.ok_or_else(|| {
            Error::Input(
                "the model has no eos_token_id, so a response would have no end; set it in config.json"
                    .into(),
            )
        })?;
        let text = [prompt, response].concat();
        let mut encoded = self.vocabulary.encode_with_spans(&text, true)?;
        let Some(answer) = encoded.tokens_of(&(prompt.len()..text.len())) else {
            return Err(Error::Input("the response has no tokens".into()));
        };
        // A tokenizer that begins each sequence gives the first token of a prompt without any.
        if answer.start == 0 || encoded.tokens_of(&(0..prompt.len())).is_none() {
            return Err(Error::Input("the prompt has no tokens".into()));
        }
        // The response, or the tokenizer, may have ended it.
        if encoded.ids.last() != Some(&end) {
            encoded.ids.push(end);
        }
        let targets = one(answer.start..encoded.ids.len());
        Ok(Sequence { ids: encoded.ids, targets })
    }

    fn conversation(&self, messages: &[Message], given: usize, variables: &Variables) -> Result<Sequence> {
        let conversation = turns::render(self.template()?, messages, given, variables, self.options.turns)?;
        let encoded = self.vocabulary.encode_with_spans(&conversation.text, false)?;
        let mut targets: Vec<std::ops::Range<usize>> = Vec::new();
        for answer in &conversation.answers {
            let Some(mut tokens) = encoded.tokens_of(answer) else { continue };
            // The first token follows nothing, and a token that two turns share counts once.
            tokens.start = tokens.start.max(targets.last().map_or(1, |last| last.end));
            match targets.last_mut() {
                _ if tokens.is_empty() => {}
                Some(last) if last.end == tokens.start => last.end = tokens.end,
                _ => targets.push(tokens),
            }
        }
        if targets.is_empty() {
            return Err(Error::Input(
                "what the assistant says, or what comes before it, has no tokens".into(),
            ));
        }
        Ok(Sequence { ids: encoded.ids, targets })
    }

    fn template(&self) -> Result<&ChatTemplate> {
        self.template.as_ref().ok_or_else(|| {
            Error::Input(
                "the model has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json), which \
                 conversations need"
                    .into(),
            )
        })
    }

    fn add_fitting(&self, mut sequence: Sequence, sequences: &mut Sequences) -> Result<()> {
        let (length, longest) = (sequence.ids.len(), self.options.max_tokens);
        if length > longest {
            match self.options.too_long {
                TooLong::Skip => {
                    sequences.skipped += 1;
                    return Ok(());
                }
                TooLong::Refuse => {
                    return Err(Error::Input(format!(
                        "{length} tokens, more than max_tokens = {longest}; data.too_long = \"truncate\" cuts, \"skip\" \
                         leaves out"
                    )));
                }
                TooLong::Truncate => {
                    if self.vocabulary.truncates_left() {
                        cut_left(&mut sequence, length - longest);
                    } else {
                        sequence.ids.truncate(longest);
                        sequence.targets.retain_mut(|range| {
                            range.end = range.end.min(longest);
                            range.start < range.end
                        });
                    }
                    if sequence.targets.is_empty() {
                        return Err(Error::Input(format!(
                            "the prompt leaves no room for a response within max_tokens = {longest}; \
                             data.too_long = \"skip\" leaves such examples out"
                        )));
                    }
                    sequences.truncated += 1;
                }
            }
        }
        sequences.list.push(sequence);
        Ok(())
    }
}

/// Cuts tokens from the front; the first that is left is not predicted.
fn cut_left(sequence: &mut Sequence, count: usize) {
    sequence.ids.drain(..count.min(sequence.ids.len()));
    sequence.targets.retain_mut(|range| {
        range.start = range.start.saturating_sub(count).max(1);
        range.end = range.end.saturating_sub(count);
        range.start < range.end
    });
}

/// Returns a list of one range.
fn one(range: std::ops::Range<usize>) -> Vec<std::ops::Range<usize>> {
    std::iter::once(range).collect()
}
