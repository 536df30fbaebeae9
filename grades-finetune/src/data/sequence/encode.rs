//! Examples to sequences.

use super::example::{Example, Examples, Form, Message};
use super::sequences::{Choice, Question, Sequence, Sequences};
use super::template::ChatTemplate;
use super::vocabulary::Vocabulary;
use crate::data::error::{Error, Result};

/// What happens to an example that is longer than the longest sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TooLong {
    /// Its end is cut off and it is counted; a response of which nothing would be left is an error.
    #[default]
    Truncate,
    /// It is an error that names its line.
    Refuse,
    /// It is left out and counted.
    Skip,
}

/// Which of the assistant's turns of a conversation are learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Turns {
    /// Each of them.
    #[default]
    All,
    /// The last one.
    Last,
}

/// How examples become sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeOptions {
    /// The longest sequence.
    pub max_tokens: usize,
    /// What happens to longer ones; a text is cut into several instead.
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
    /// token follows it. Of an exchange the response and the end token are predicted. A conversation is what the chat
    /// template makes of it; in it the assistant's turns are predicted, as they follow the template's prompt.
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

    /// The ids of a prompt, to be continued: through the chat template as the user's turn, or as it is.
    ///
    /// # Errors
    ///
    /// [`Error::File`] when the tokenizer or the template fails, [`Error::Input`] when there is no template.
    pub fn prompt(&self, text: &str) -> Result<Vec<u32>> {
        if !self.options.chat {
            return self.vocabulary.encode(text, true);
        }
        let user = Message { role: "user".into(), content: text.into() };
        self.vocabulary.encode(&self.template()?.render(&[user], true)?, false)
    }

    fn add(&self, example: &Example, sequences: &mut Sequences) -> Result<()> {
        match example {
            Example::Text(text) => self.add_text(text, sequences),
            Example::Exchange { prompt, response } => {
                let sequence = self.exchange(prompt, response)?;
                self.add_fitting(sequence, sequences)
            }
            Example::Messages(messages) => {
                let sequence = self.conversation(messages)?;
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
            let sequence = self.exchange(prompt, choice)?;
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

    fn exchange(&self, prompt: &str, response: &str) -> Result<Sequence> {
        if self.options.chat {
            let message = |role: &str, content: &str| Message { role: role.into(), content: content.into() };
            return self.conversation(&[message("user", prompt), message("assistant", response)]);
        }
        let end = self.end.ok_or_else(|| {
            Error::Input(
                "the model has no eos_token_id, so a response would have no end; set it in config.json"
                    .into(),
            )
        })?;
        let mut ids = self.vocabulary.encode(prompt, true)?;
        // A tokenizer that ends each sequence would end the prompt, too.
        if ids.last() == Some(&end) {
            ids.pop();
        }
        let start = ids.len();
        ids.extend(self.vocabulary.encode(response, false)?);
        if ids.len() == start {
            return Err(Error::Input("the response has no tokens".into()));
        }
        if start == 0 {
            return Err(Error::Input("the prompt has no tokens".into()));
        }
        ids.push(end);
        let targets = one(start..ids.len());
        Ok(Sequence { ids, targets })
    }

    /// The pieces of text between the turns' ends are encoded apart, as they are when the model answers.
    fn conversation(&self, messages: &[Message]) -> Result<Sequence> {
        let template = self.template()?;
        let turns: Vec<usize> = (0..messages.len())
            .filter(|&index| messages.get(index).is_some_and(|message| message.role == "assistant"))
            .collect();
        let Some(&last) = turns.last() else { return Err(Error::Input("no turn of the assistant".into())) };
        let turns = match self.options.turns {
            Turns::All => turns,
            Turns::Last => vec![last],
        };
        // What comes after the last answer teaches nothing.
        let all = template.render(messages.get(..=last).unwrap_or(messages), false)?;
        let (mut ids, mut targets, mut done) = (Vec::new(), Vec::new(), 0);
        for turn in turns {
            let prompt = template.render(messages.get(..turn).unwrap_or_default(), true)?;
            let answered = template.render(messages.get(..=turn).unwrap_or_default(), false)?;
            let pieces = all.get(done..prompt.len()).zip(all.get(prompt.len()..answered.len()));
            let (Some((before, answer)), true) =
                (pieces, all.starts_with(&answered) && answered.starts_with(&prompt))
            else {
                return Err(Error::Input(format!(
                    "the chat template does not continue a conversation where it stopped, at message {turn}{}",
                    if self.options.turns == Turns::All {
                        "; data.turns = \"last\" learns the last answer alone"
                    } else {
                        ""
                    }
                )));
            };
            ids.extend(self.vocabulary.encode(before, false)?);
            let start = ids.len();
            ids.extend(self.vocabulary.encode(answer, false)?);
            if ids.len() == start || start == 0 {
                return Err(Error::Input(format!("message {turn} or what comes before it has no tokens")));
            }
            targets.push(start..ids.len());
            done = answered.len();
        }
        Ok(Sequence { ids, targets })
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
                    sequence.ids.truncate(longest);
                    sequence.targets.retain_mut(|range| {
                        range.end = range.end.min(longest);
                        range.start < range.end
                    });
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

/// A list of one range.
fn one(range: std::ops::Range<usize>) -> Vec<std::ops::Range<usize>> {
    std::iter::once(range).collect()
}
