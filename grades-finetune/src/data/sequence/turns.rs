//! Finds in a rendered conversation what the assistant says.

use std::ops::Range;

use grades::schema::words;
use minijinja::Value;

use super::message::{Message, Variables};
use super::template::ChatTemplate;
use crate::data::error::{Error, Result};

words! {
    /// The assistant's turns of a conversation that are learnt.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum Turns: "turns" {
        /// Each of them.
        #[default]
        All = "all",
        /// The last one.
        Last = "last",
    }
}

/// A conversation as text.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) text: String,
    /// The bytes that are to be predicted, from the front to the back.
    pub(super) answers: Vec<Range<usize>>,
}

/// Renders a conversation up to the assistant's last turn: what comes after it teaches nothing.
///
/// A template that marks what the assistant says decides what is predicted. Else a turn begins where the template's
/// prompt for it ends, as far as the conversation has that prompt, and ends where the next message begins. That needs a
/// template that continues a conversation where it stopped. Where it writes otherwise, such as the number of messages, a turn
/// is what changes with its content, and the end that the template writes after any answer.
///
/// # Errors
///
/// [`Error::Input`] for a template that shows neither, or leaves nothing to learn; the template's own errors.
pub(super) fn render(
    template: &ChatTemplate,
    messages: &[Message],
    given: usize,
    variables: &Variables,
    learnt: Turns,
) -> Result<Conversation> {
    let is_answer = |index: &usize| {
        *index >= given && messages.get(*index).is_some_and(|message| message.role() == Some("assistant"))
    };
    let mut turns: Vec<usize> = (0..messages.len()).filter(is_answer).collect();
    let Some(&last) = turns.last() else { return Err(Error::Input("no turn of the assistant".into())) };
    let messages = messages.get(..=last).unwrap_or(messages);
    let whole = template.rendered(messages, variables, false)?;
    let renderer = Renderer { template, variables, messages, text: &whole.text };
    let mut answers = match whole.generated {
        Some(marked) => {
            let from = if given > 0 { renderer.start(given)? } else { 0 };
            marked.into_iter().filter(|range| range.end > from).collect::<Vec<_>>()
        }
        None => {
            if learnt == Turns::Last {
                turns = vec![last];
            }
            turns.into_iter().map(|turn| renderer.turn(turn)).collect::<Result<_>>()?
        }
    };
    if learnt == Turns::Last {
        answers = answers.pop().into_iter().collect();
    }
    if answers.iter().all(Range::is_empty) {
        return Err(Error::Input("the chat template leaves nothing of what the assistant says".into()));
    }
    if answers.windows(2).any(|pair| matches!(pair, [one, other] if one.end > other.start)) {
        return Err(unclear("it writes two of the assistant's messages in one place"));
    }
    Ok(Conversation { text: whole.text, answers })
}

/// Returns the error of a template that does not show where a message begins or ends.
fn unclear(reason: &str) -> Error {
    Error::Input(format!(
        "the chat template does not show what the assistant says: {reason}; put {{% generation %}} and {{% endgeneration %}} \
         around that in the template"
    ))
}

/// A conversation and its text.
struct Renderer<'a> {
    template: &'a ChatTemplate,
    variables: &'a Variables,
    messages: &'a [Message],
    text: &'a str,
}

impl Renderer<'_> {
    fn rendered(&self, messages: &[Message], prompt: bool) -> Result<String> {
        Ok(self.template.rendered(messages, self.variables, prompt)?.text)
    }

    /// Returns the messages before a turn.
    fn before(&self, turn: usize) -> &[Message] {
        self.messages.get(..turn).unwrap_or_default()
    }

    /// Returns where a message begins.
    fn start(&self, turn: usize) -> Result<usize> {
        match self.continued(turn)? {
            Some(start) => Ok(start),
            None => Ok(self.content(turn)?.start),
        }
    }

    /// Returns where the text parts from the prompt for a turn; `None` where the template does not continue a
    /// conversation where it stopped.
    fn continued(&self, turn: usize) -> Result<Option<usize>> {
        let before = self.before(turn);
        if before.is_empty() {
            // Many templates refuse a conversation without messages.
            return Ok(Some(self.rendered(&[], true).map_or(0, |prompt| common_start(&prompt, self.text))));
        }
        let prompt = self.rendered(before, true)?;
        let start = common_start(&prompt, self.text);
        // The prompt may begin thoughts that the conversation does not have, but what comes before it is the same.
        let stopped = self.rendered(before, false)?;
        Ok((self.text.starts_with(&stopped) && start >= stopped.len()).then_some(start))
    }

    fn turn(&self, turn: usize) -> Result<Range<usize>> {
        let range = match self.continued(turn)? {
            Some(start) => start..self.end(turn)?,
            None => self.verified(turn)?,
        };
        if range.is_empty() {
            return Err(Error::Input(format!(
                "the chat template leaves nothing of message {turn}, which the assistant says; data.turns = \"last\" learns \
                 the last answer alone"
            )));
        }
        Ok(range)
    }

    /// Returns where a turn ends, of a conversation that is continued where it stopped.
    fn end(&self, turn: usize) -> Result<usize> {
        let upto = |index: usize| self.messages.get(..=index).unwrap_or(self.messages);
        let answered = self.rendered(upto(turn), false)?;
        if self.text.starts_with(&answered) {
            return Ok(answered.len());
        }
        // The template shows an answer in another way once messages follow it, such as without its thoughts. The text
        // after the answer's content is the same for any content.
        let own = self.ending(turn, &[])?;
        for next in turn + 1..self.messages.len() {
            let continued = self.rendered(upto(next), false)?;
            if !self.text.starts_with(&continued) {
                continue;
            }
            let after = self.messages.get(turn + 1..=next).unwrap_or_default();
            let rest = self.ending(turn, after)?;
            let tail = continued.len().checked_sub(rest.len());
            let end = tail.map(|tail| tail + own.len()).filter(|&end| self.text.is_char_boundary(end));
            if let Some(end) = end {
                return Ok(end);
            }
        }
        self.verified(turn).map(|range| range.end)
    }

    /// Returns what the template writes after the content of an answer that these messages follow, for any content.
    fn ending(&self, turn: usize, after: &[Message]) -> Result<String> {
        let with = |content: &str| -> Result<String> {
            let probe = [Message::new("assistant", content)];
            self.rendered(&[self.before(turn), &probe, after].concat(), false)
        };
        let (one, other) = (with("x")?, with("y")?);
        Ok(one.get(one.len() - common_end(&one, &other)..).unwrap_or_default().to_owned())
    }

    /// Returns where the content of a message is in the text: between what is the same for any content.
    fn content(&self, turn: usize) -> Result<Range<usize>> {
        let with = |content: &str| -> Result<String> {
            let mut messages = self.messages.to_vec();
            if let Some(message) = messages.get_mut(turn) {
                *message = message.with("content", Value::from(content));
            }
            self.rendered(&messages, false)
        };
        let (one, other) = (with("x")?, with("y")?);
        let start = common_start(&one, &other);
        let end = common_end(&one, &other);
        let (before, after) =
            (one.get(..start).unwrap_or_default(), one.get(one.len() - end..).unwrap_or_default());
        let around = one != other && self.text.starts_with(before) && self.text.ends_with(after);
        match self.text.len().checked_sub(end) {
            Some(end) if around && start <= end => Ok(start..end),
            _ => Err(unclear(&format!("what it writes around message {turn} depends on the message"))),
        }
    }

    /// Returns the bytes of a turn in a conversation that is not continued where it stopped: the content, and what the
    /// template writes after an answer whether or not messages follow.
    fn verified(&self, turn: usize) -> Result<Range<usize>> {
        let content = self.content(turn)?;
        let follows = |messages: &[Message]| -> Result<String> {
            let with = |content: &str| -> Result<String> {
                let mut messages = messages.to_vec();
                if let Some(message) = messages.get_mut(turn) {
                    *message = message.with("content", Value::from(content));
                }
                self.rendered(&messages, false)
            };
            let (one, other) = (with("x")?, with("y")?);
            Ok(one.get(one.len() - common_end(&one, &other)..).unwrap_or_default().to_owned())
        };
        let upto = self.messages.get(..=turn).unwrap_or(self.messages);
        let last = follows(upto)?;
        let continued = if upto.len() < self.messages.len() {
            self.text.get(content.end..).unwrap_or_default().to_owned()
        } else {
            // A template that refuses another message shows only how a conversation ends.
            let more = [upto, &[Message::new("user", "x")]].concat();
            follows(&more).unwrap_or_default()
        };
        let shared = common_start(&last, &continued);
        // Words and numbers that both begin with are no end of an answer.
        let shared = last.get(..shared).unwrap_or_default().trim_end_matches(char::is_alphanumeric).len();
        let rest = last.get(shared..).unwrap_or_default();
        let end_token = self.template.token("eos_token").filter(|token| !token.is_empty());
        let ended = end_token.filter(|token| upto.len() == self.messages.len() && rest.starts_with(token));
        let end = content.end + shared + ended.map_or(0, str::len);
        if end == content.end && !last.is_empty() {
            return Err(unclear(&format!("what it writes after message {turn} depends on what follows")));
        }
        Ok(content.start..end)
    }
}

/// Returns the length of the longest beginning that two texts share.
fn common_start(one: &str, other: &str) -> usize {
    let same = one.chars().zip(other.chars()).take_while(|(one, other)| one == other);
    same.map(|(letter, _)| letter.len_utf8()).sum()
}

/// Returns the length of the longest end that two texts share.
fn common_end(one: &str, other: &str) -> usize {
    let same = one.chars().rev().zip(other.chars().rev()).take_while(|(one, other)| one == other);
    same.map(|(letter, _)| letter.len_utf8()).sum()
}
