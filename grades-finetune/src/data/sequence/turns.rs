//! Finds in a rendered conversation what the assistant says.

use std::ops::Range;

use grades::schema::words;

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
/// prompt for it ends, as far as the conversation has that prompt, and ends where the next message begins.
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
            marked.into_iter().filter(|range| range.start >= from).collect::<Vec<_>>()
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
    Ok(Conversation { text: whole.text, answers })
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

    /// Returns where a turn begins: where the text parts from the prompt for the turn.
    fn start(&self, turn: usize) -> Result<usize> {
        match self.messages.get(..turn) {
            // Many templates refuse a conversation without messages.
            Some([]) | None => {
                Ok(self.rendered(&[], true).map_or(0, |prompt| common_start(&prompt, self.text)))
            }
            Some(before) => Ok(common_start(&self.rendered(before, true)?, self.text)),
        }
    }

    fn turn(&self, turn: usize) -> Result<Range<usize>> {
        let (start, end) = (self.start(turn)?, self.end(turn)?);
        if start >= end {
            return Err(Error::Input(format!(
                "the chat template leaves nothing of message {turn}, which the assistant says; data.turns = \"last\" learns \
                 the last answer alone"
            )));
        }
        Ok(start..end)
    }

    /// Returns where a turn ends.
    fn end(&self, turn: usize) -> Result<usize> {
        let upto = |index: usize| self.messages.get(..=index).unwrap_or(self.messages);
        let answered = self.rendered(upto(turn), false)?;
        if self.text.starts_with(&answered) {
            return Ok(answered.len());
        }
        // The template shows an answer in another way once messages follow it, such as without its thoughts. The text
        // after the answer's content is the same for any content.
        let before = self.messages.get(..turn).unwrap_or_default();
        let probes = ["x", "y"].map(|content| Message::new("assistant", content));
        let with = |probe: &Message, after: &[Message]| {
            self.rendered(&[before, std::slice::from_ref(probe), after].concat(), false)
        };
        let ends_alike = |after: &[Message]| -> Result<usize> {
            let [one, other] = [with(&probes[0], after)?, with(&probes[1], after)?];
            Ok(common_end(&one, &other))
        };
        let own = ends_alike(&[])?;
        for next in turn + 1..self.messages.len() {
            let continued = self.rendered(upto(next), false)?;
            if !self.text.starts_with(&continued) {
                continue;
            }
            let after = self.messages.get(turn + 1..=next).unwrap_or_default();
            let rest = ends_alike(after)?;
            let tail = continued.len().checked_sub(rest);
            if let Some(end) = tail.map(|tail| tail + own).filter(|&end| self.text.is_char_boundary(end)) {
                return Ok(end);
            }
        }
        Err(Error::Input(format!(
            "the chat template does not continue a conversation where it stopped, at message {turn}; data.turns = \"last\" \
             learns the last answer alone"
        )))
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
