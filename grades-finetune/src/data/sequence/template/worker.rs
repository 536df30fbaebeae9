//! Runs the library of templates on a thread of its own, with a large stack and limits on time and memory.
//!
//! Templates are programs of strangers. One that does not end is left behind with its thread, because a thread cannot be
//! stopped; `child` kills such a template.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::conversation::Conversation;
use super::environment::environment;
use super::run::run;
use crate::data::tokenizer::quiet;

/// The memory that the program may take meanwhile, in bytes.
const MEMORY: u64 = 1 << 30;

/// Values nest as deeply as the fuel allows, and each level takes some of the stack when they are written or dropped.
pub(super) const STACK: usize = 512 << 20;

type Answer = Result<String, String>;

/// The reason why templates cannot be compiled.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) reason: String,
    /// Whether a thread was left behind.
    pub(super) lost: bool,
}

/// The thread of a model's templates.
#[derive(Debug)]
pub(super) struct Worker {
    conversations: Sender<Conversation>,
    answers: Receiver<Answer>,
    time: Duration,
    /// The reason why the thread was left behind.
    lost: Option<String>,
}

impl Worker {
    /// Compiles named templates; each conversation then has this time.
    ///
    /// # Errors
    ///
    /// The library's message, or the limit that the templates exceed.
    pub(super) fn start(sources: Vec<(String, String)>, time: Duration) -> Result<Self, Refused> {
        let (conversations, todo) = channel();
        let (done, answers) = channel();
        let thread = std::thread::Builder::new().name("template".into()).stack_size(STACK);
        let work = move || {
            quiet();
            let compiled = guarded(|| environment(&sources).map_err(|error| error.to_string()));
            let mut environment = match compiled {
                Ok(environment) => environment,
                Err(message) => {
                    let _ = done.send(Err(message));
                    return;
                }
            };
            let _ = done.send(Ok(String::new()));
            for conversation in todo {
                let answer = guarded(|| run(&mut environment, conversation));
                if done.send(answer).is_err() {
                    return;
                }
            }
        };
        let spawned = thread.spawn(work);
        spawned.map_err(|error| Refused { reason: format!("no thread: {error}"), lost: false })?;
        let mut worker = Self { conversations, answers, time, lost: None };
        match worker.wait() {
            Ok(_) => Ok(worker),
            Err(reason) => Err(Refused { reason, lost: worker.is_lost() }),
        }
    }

    /// Renders a conversation.
    ///
    /// # Errors
    ///
    /// The template's message, or the limit that it exceeds.
    pub(super) fn render(&mut self, conversation: Conversation) -> Answer {
        if let Some(reason) = &self.lost {
            return Err(reason.clone());
        }
        self.conversations.send(conversation).map_err(|_| ENDED.to_owned())?;
        self.wait()
    }

    /// Returns whether the thread was left behind.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    fn wait(&mut self) -> Answer {
        let (begun, before) = (Instant::now(), resident());
        let reason = loop {
            match self.answers.recv_timeout(Duration::from_millis(20)) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Disconnected) => return Err(ENDED.to_owned()),
                Err(RecvTimeoutError::Timeout) if begun.elapsed() > self.time => {
                    break beyond(self.time);
                }
                Err(RecvTimeoutError::Timeout) => {
                    let taken = resident().zip(before).map(|(now, before)| now.saturating_sub(before));
                    if taken.is_some_and(|taken| taken > MEMORY) {
                        break format!("fails: it takes more than {} MB of memory", MEMORY >> 20);
                    }
                }
            }
        };
        self.lost = Some(reason.clone());
        Err(reason)
    }
}

/// The message of a template that the library, or its process, does not survive.
pub(super) const ENDED: &str = "fails: it makes no sense to the library that renders it";

/// Returns the message of a template that takes longer.
pub(super) fn beyond(time: Duration) -> String {
    format!("fails: it takes more than {} seconds", time.as_secs_f64())
}

/// Calls the library; a panic is an error.
fn guarded<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    // The call's half-done values are never used again.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(ENDED.to_owned()))
}

/// Returns the memory of the program, in bytes, where the system reports it.
fn resident() -> Option<u64> {
    memory("VmRSS:")
}

/// Returns a number of this process's memory, in bytes, by its name.
pub(super) fn memory(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}
