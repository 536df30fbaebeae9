//! Runs the library of templates on a thread of its own, with a large stack, and waits for it only so long.
//!
//! Templates are programs of strangers. One that does not end is left behind with its thread, which ends with the
//! program: a thread cannot be stopped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use minijinja::Environment;

use super::environment::environment;
use crate::data::tokenizer::quiet;

/// The time for one conversation.
const TIME: Duration = Duration::from_secs(10);

/// The memory that the program may take meanwhile, in bytes.
const MEMORY: u64 = 1 << 30;

/// Values nest as deeply as the fuel allows, and each level takes some of the stack when they are written or dropped.
const STACK: usize = 512 << 20;

/// Something to do with the templates; its error is a message.
type Job = Box<dyn FnOnce(&mut Environment<'static>) -> Result<String, String> + Send>;
type Answer = Result<String, String>;

/// The thread of a model's templates.
#[derive(Debug)]
pub(super) struct Worker(Mutex<State>);

#[derive(Debug)]
struct State {
    jobs: Sender<Job>,
    answers: Receiver<Answer>,
    /// The reason why the thread was left behind.
    lost: Option<String>,
}

impl Worker {
    /// Compiles named templates.
    ///
    /// # Errors
    ///
    /// The library's message, or the limit that the templates are beyond.
    pub(super) fn start(sources: Vec<(String, String)>) -> Result<Self, String> {
        let (jobs, todo) = channel::<Job>();
        let (done, answers) = channel();
        let thread = std::thread::Builder::new().name("template".into()).stack_size(STACK);
        let run = move || {
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
            for job in todo {
                let answer = guarded(|| job(&mut environment));
                if done.send(answer).is_err() {
                    return;
                }
            }
        };
        thread.spawn(run).map_err(|error| format!("no thread: {error}"))?;
        let mut state = State { jobs, answers, lost: None };
        state.wait()?;
        Ok(Self(Mutex::new(state)))
    }

    /// Does a job with the templates.
    ///
    /// # Errors
    ///
    /// The job's message, or the limit that it is beyond.
    pub(super) fn call(
        &self,
        job: impl FnOnce(&mut Environment<'static>) -> Result<String, String> + Send + 'static,
    ) -> Result<String, String> {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(reason) = &state.lost {
            return Err(reason.clone());
        }
        state.jobs.send(Box::new(job)).map_err(|_| ENDED.to_owned())?;
        state.wait()
    }
}

const ENDED: &str = "fails: it makes no sense to the library that renders it";

impl State {
    fn wait(&mut self) -> Answer {
        let (begun, before) = (Instant::now(), resident());
        let reason = loop {
            match self.answers.recv_timeout(Duration::from_millis(20)) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Disconnected) => return Err(ENDED.to_owned()),
                Err(RecvTimeoutError::Timeout) if begun.elapsed() > TIME => {
                    break format!("fails: it takes more than {} seconds", TIME.as_secs());
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

/// Calls the library; a panic is an error.
fn guarded<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    // The call's half-done values are never used again.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(ENDED.to_owned()))
}

/// Returns the memory of the program, in bytes, where the system reports it.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}
