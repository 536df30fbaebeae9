//! The options by which a decoder chooses tokens.

use clap::Args;
use grades_models::decoder::Sampling;

use crate::data::sequence::Date;
use crate::predict::AnswerOptions;

/// The options.
#[derive(Debug, Args)]
pub(super) struct AnswerArguments {
    /// The date that the chat template writes as today's, such as 2026-01-31
    #[arg(long, value_name = "DATE")]
    date: Option<Date>,
    /// The longest answer, in tokens
    #[arg(long, value_name = "TOKENS")]
    max_new_tokens: Option<usize>,
    /// Divide the logits by this and draw the tokens; 0 chooses the most likely one
    #[arg(long, value_name = "NUMBER")]
    temperature: Option<f64>,
    /// Draw from the K most likely tokens; 0 is no limit
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Draw from the most likely tokens that together reach this probability
    #[arg(long, value_name = "SHARE")]
    top_p: Option<f64>,
    /// Make tokens that are there already less likely; 1 changes nothing
    #[arg(long, value_name = "FACTOR")]
    repetition_penalty: Option<f64>,
    /// The seed of what is drawn
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// End an answer before this text; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
}

impl AnswerArguments {
    /// Returns the options of answers of at most `longest` tokens, unless the user gives another number.
    pub(super) fn options(&self, longest: usize, batch_size: usize, chat: bool) -> AnswerOptions {
        // Who limits what is drawn wants to draw.
        let drawn = self.top_k.is_some() || self.top_p.is_some();
        let sampling = Sampling {
            temperature: self.temperature.unwrap_or(if drawn { 1.0 } else { 0.0 }),
            top_k: self.top_k.unwrap_or(0),
            top_p: self.top_p.unwrap_or(1.0),
            repetition_penalty: self.repetition_penalty.unwrap_or(1.0),
            seed: self.seed,
            first: 0,
        };
        let max_new_tokens = self.max_new_tokens.unwrap_or(longest);
        AnswerOptions { chat, date: self.date, max_new_tokens, sampling, stop: self.stop.clone(), batch_size }
    }

    /// Returns the first of the options that was given, for those who have no use for any.
    pub(super) fn first_given(&self) -> Option<&'static str> {
        [
            ("--date", self.date.is_some()),
            ("--max-new-tokens", self.max_new_tokens.is_some()),
            ("--temperature", self.temperature.is_some()),
            ("--top-k", self.top_k.is_some()),
            ("--top-p", self.top_p.is_some()),
            ("--repetition-penalty", self.repetition_penalty.is_some()),
            ("--stop", !self.stop.is_empty()),
        ]
        .into_iter()
        .find_map(|(name, given)| given.then_some(name))
    }
}
