//! Answers prompts and conversations.

use std::ops::ControlFlow;

use anyhow::{Result, anyhow, bail};
use grades_models::decoder::{Decoder, Generation, Sampling};

use super::load::ModelFiles;
use super::stop_texts::StopTexts;
use crate::data::sequence::{
    ChatTemplate, Date, EncodeOptions, Encoder, Message, TooLong, Turns, Vocabulary,
};
use crate::data::{Record, Records, TextReader};

/// How a decoder answers.
#[derive(Debug, Clone)]
pub struct AnswerOptions {
    /// Put each prompt through the model's chat template, as a turn of the user.
    pub chat: bool,
    /// The date that the chat template writes as today's.
    pub date: Option<Date>,
    /// The longest answer, in tokens.
    pub max_new_tokens: usize,
    /// The choice of tokens.
    pub sampling: Sampling,
    /// Texts that end an answer; they are not part of it.
    pub stop: Vec<String>,
    /// Prompts that are answered together.
    pub batch_size: usize,
}

impl Default for AnswerOptions {
    fn default() -> Self {
        Self {
            chat: false,
            date: None,
            max_new_tokens: 64,
            sampling: Sampling::default(),
            stop: Vec::new(),
            batch_size: 16,
        }
    }
}

/// The answer to a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its text, without special tokens.
    pub text: String,
    /// The token ids, with the stop token.
    pub ids: Vec<i64>,
}

/// A decoder with its tokenizer and chat template.
#[derive(Debug)]
pub struct Answerer {
    model: Decoder,
    encoder: Encoder,
    options: AnswerOptions,
    stop: StopTexts,
    /// The prompts that were answered so far.
    answered: u64,
}

/// The batches whose prompts are sorted by length together.
const WINDOW_BATCHES: usize = 4;

impl Answerer {
    /// Makes it of a loaded model and the files beside it.
    ///
    /// # Errors
    ///
    /// When the tokenizer cannot be read, the sampling is out of its range, or a chat template is asked for and missing.
    pub fn new(model: Decoder, files: &ModelFiles, options: AnswerOptions) -> Result<Self> {
        options.sampling.check()?;
        let template = match options.chat {
            true => ChatTemplate::load(&files.base)?.map(|template| template.with_date(options.date)),
            false => None,
        };
        if options.chat && template.is_none() {
            bail!(
                "{} has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json): answer prompts \
                 without --chat, or use a model that was trained for conversations",
                files.base.display()
            );
        }
        let encoder = Encoder {
            vocabulary: Vocabulary::load(&files.base.join("tokenizer.json"), model.vocab_size())?,
            template,
            end: None,
            options: EncodeOptions {
                max_tokens: usize::try_from(model.max_positions())?,
                too_long: TooLong::Refuse,
                turns: Turns::All,
                chat: options.chat,
            },
        };
        let stop = StopTexts::new(options.stop.clone());
        Ok(Self { model, encoder, options, stop, answered: 0 })
    }

    /// Answers prompts, in their order.
    ///
    /// # Errors
    ///
    /// When a prompt is empty or leaves no room for an answer, which names its line, or the tokenizer, the template or the
    /// model refuses.
    pub fn answer(&mut self, prompts: &Records) -> Result<Vec<Answer>> {
        let longest = usize::try_from(self.model.max_positions()).unwrap_or(usize::MAX);
        let mut encoded: Vec<Vec<i64>> = Vec::with_capacity(prompts.list.len());
        for prompt in &prompts.list {
            let at = format!("{}:{}", prompts.path.display(), prompt.line);
            let ids = self.encoder.prompt(&prompt.text).map_err(|error| anyhow!("{at}: {error}"))?;
            match ids.len() {
                0 => bail!("{at}: the prompt has no tokens"),
                length if length >= longest => bail!(
                    "{at}: the prompt has {length} tokens, the model has {longest} positions for prompt and answer; \
                     shorten it"
                ),
                _ => encoded.push(ids.into_iter().map(i64::from).collect()),
            }
        }
        let sampling = Sampling { first: self.answered, ..self.options.sampling.clone() };
        let (limits, stop, vocabulary) = (self.limits(), &self.stop, &self.encoder.vocabulary);
        let mut so_far = vec![Vec::new(); if stop.is_empty() { 0 } else { encoded.len() }];
        let mut failed = None;
        let answers = self.model.answer(&encoded, &limits, &sampling, &mut |prompt, token| {
            let Some(ids) = so_far.get_mut(prompt) else { return Ok(ControlFlow::Continue(())) };
            ids.extend(u32::try_from(token));
            match vocabulary.decode(ids) {
                Ok(text) if stop.find(&text).is_some() => Ok(ControlFlow::Break(())),
                Ok(_) => Ok(ControlFlow::Continue(())),
                Err(error) => {
                    failed.get_or_insert(error);
                    Ok(ControlFlow::Break(()))
                }
            }
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        self.answered += u64::try_from(answers.len())?;
        answers.into_iter().map(|ids| Ok(Answer { text: self.text(&ids)?, ids })).collect()
    }

    /// Answers the prompts of a reader and passes each on with its answer, in their order; at no time are more than some
    /// batches in memory.
    ///
    /// # Errors
    ///
    /// As [`answer`](Self::answer), for a line that cannot be read, and when the receiver fails; what was answered before has
    /// been passed on.
    pub fn answer_all(
        &mut self,
        prompts: &mut TextReader,
        receive: &mut dyn FnMut(&Record, &Answer) -> Result<()>,
    ) -> Result<()> {
        let window = self.options.batch_size.max(1) * WINDOW_BATCHES;
        prompts.windows(window, &mut |texts| {
            for (prompt, answer) in texts.list.iter().zip(self.answer(texts)?) {
                receive(prompt, &answer)?;
            }
            Ok(())
        })
    }

    /// Continues a conversation by the assistant's next turn; `receive` gets its text piece by piece, and `stop` is asked
    /// after each token.
    ///
    /// # Errors
    ///
    /// When the conversation leaves no room for an answer, or the tokenizer, the template or the model refuses.
    pub fn reply(
        &mut self,
        messages: &[Message],
        stop: &dyn Fn() -> bool,
        receive: &mut dyn FnMut(&str) -> Result<()>,
    ) -> Result<String> {
        let template = self.encoder.template.as_ref();
        let template = template.ok_or_else(|| anyhow!("a conversation needs a chat template"))?;
        let text = template.render(messages, true)?;
        let ids = self.encoder.vocabulary.encode(&text, false)?;
        let longest = usize::try_from(self.model.max_positions()).unwrap_or(usize::MAX);
        if ids.len() >= longest {
            bail!(
                "the conversation has {} tokens, the model has {longest} positions for it and an answer; /clear begins a new \
                 one",
                ids.len()
            );
        }
        let prompt: Vec<i64> = ids.into_iter().map(i64::from).collect();
        let sampling = Sampling { first: self.answered, ..self.options.sampling.clone() };
        let (limits, texts, vocabulary) = (self.limits(), &self.stop, &self.encoder.vocabulary);
        let (mut ids, mut shown, mut failed) = (Vec::new(), 0, None);
        let answers = self.model.answer(&[prompt], &limits, &sampling, &mut |_, token| {
            ids.extend(u32::try_from(token));
            let piece = || -> Result<ControlFlow<()>> {
                let text = vocabulary.decode(&ids)?;
                let (end, found) = texts.settled(&text);
                if let Some(new) = text.get(shown..end).filter(|new| !new.is_empty()) {
                    receive(new)?;
                    shown = end;
                }
                Ok(if found || stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            };
            let mut piece = piece;
            Ok(piece().unwrap_or_else(|error| {
                failed.get_or_insert(error);
                ControlFlow::Break(())
            }))
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        self.answered += 1;
        let text = self.text(answers.first().map(Vec::as_slice).unwrap_or_default())?;
        if let Some(rest) = text.get(shown..).filter(|rest| !rest.is_empty()) {
            receive(rest)?;
        }
        Ok(text)
    }

    fn limits(&self) -> Generation {
        Generation {
            max_new_tokens: self.options.max_new_tokens,
            stop: self.model.stop_ids(),
            batch_size: self.options.batch_size,
        }
    }

    /// Returns the text of token ids, up to a stop text.
    fn text(&self, ids: &[i64]) -> Result<String> {
        let known: Vec<u32> = ids.iter().filter_map(|&id| u32::try_from(id).ok()).collect();
        let mut text = self.encoder.vocabulary.decode(&known)?;
        if let Some(end) = self.stop.find(&text) {
            text.truncate(end);
        }
        Ok(text)
    }
}
