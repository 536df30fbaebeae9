//! Where the templates of a model are rendered: in a process of the program, or on a thread of this one.

use std::time::Duration;

use super::child::Process;
use super::conversation::Conversation;
use super::worker::Worker;

/// The compiled templates of a model.
#[derive(Debug)]
pub(super) enum Renderer {
    Process(Process),
    Thread(Worker),
}

impl Renderer {
    /// Compiles named templates; each conversation then has this time.
    ///
    /// # Errors
    ///
    /// The library's message, or the limit that the templates exceed.
    pub(super) fn start(sources: Vec<(String, String)>, time: Duration) -> Result<Self, String> {
        match Process::start(&sources, time)? {
            Some(process) => Ok(Self::Process(process)),
            None => Worker::start(sources, time).map(Self::Thread).map_err(|refused| refused.reason),
        }
    }

    /// Renders a conversation.
    ///
    /// # Errors
    ///
    /// The template's message, or the limit that it exceeds.
    pub(super) fn render(&mut self, conversation: Conversation) -> Result<String, String> {
        match self {
            Self::Process(process) => process.render(conversation),
            Self::Thread(worker) => worker.render(conversation),
        }
    }
}
