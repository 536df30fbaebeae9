//! Renders in a process of its own, which is ended where a template does not end by itself.
//!
//! The process is this program with the argument [`COMMAND`]. It reads a request a line from standard input and writes an
//! answer a line to standard output, has little memory, and ends with its input. One that has nothing to do waits for the next
//! model.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use minijinja::Value;
use serde::{Deserialize, Serialize};

use super::date::Date;
use super::message_value;
use super::worker::{ENDED, STACK, Worker, beyond, memory};

/// The argument of the program that makes it such a process.
pub(crate) const COMMAND: &str = "__templates";

/// The program whose processes render; without one a thread does.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Processes without a model.
static IDLE: Mutex<Vec<Process>> = Mutex::new(Vec::new());

/// Renders chat templates in processes of the program `finetune` at this path, from the next model that is loaded on.
///
/// Templates are programs of strangers. A thread that renders one cannot be stopped: where only the clock ends a template, the
/// thread goes on until this process ends. A process is ended instead, and neither its memory nor its stack is this one's. The
/// program `finetune` does this itself. The path of the first call counts.
pub fn isolate_templates(program: &Path) {
    let _ = PROGRAM.set(program.to_path_buf());
}

#[derive(Debug, Serialize, Deserialize)]
enum Request {
    Load { sources: Vec<(String, String)>, date: Option<Date>, seconds: f64 },
    Render { context: Box<serde_json::value::RawValue>, tools: bool },
}

type Answer = Result<String, String>;

/// A process that renders.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    requests: Option<ChildStdin>,
    answers: Receiver<String>,
    time: Duration,
    /// The reason why the process was ended.
    lost: Option<String>,
}

impl Process {
    /// Compiles named templates in a process; `None` where there is no program for one.
    ///
    /// # Errors
    ///
    /// As [`Worker::start`].
    pub(super) fn start(
        sources: &[(String, String)],
        date: Option<Date>,
        time: Duration,
    ) -> Result<Option<Self>, String> {
        let idle = || IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(mut process) = idle().or_else(|| PROGRAM.get().and_then(|program| Self::spawn(program)))
        else {
            return Ok(None);
        };
        process.time = time;
        let request = Request::Load { sources: sources.to_vec(), date, seconds: time.as_secs_f64() };
        match process.ask(&request) {
            Ok(_) => Ok(Some(process)),
            Err(reason) => {
                process.leave();
                Err(reason)
            }
        }
    }

    fn spawn(program: &Path) -> Option<Self> {
        let mut command = Command::new(program);
        // A group of its own: a signal for this program's group is not for it.
        command.arg(COMMAND).process_group(0).env("OMP_NUM_THREADS", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().ok()?;
        let requests = child.stdin.take();
        let (send, answers) = channel();
        if let Some(output) = child.stdout.take() {
            // Ends with the process.
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines() {
                    if line.is_err() || line.is_ok_and(|line| send.send(line).is_err()) {
                        return;
                    }
                }
            });
        }
        Some(Self { child, requests, answers, time: Duration::ZERO, lost: None })
    }

    /// Renders a conversation.
    ///
    /// # Errors
    ///
    /// As [`Worker::render`].
    pub(super) fn render(&mut self, context: &Value, tools: bool) -> Answer {
        let context = serde_json::value::to_raw_value(context)
            .map_err(|error| format!("cannot be rendered: {error}"))?;
        self.ask(&Request::Render { context, tools })
    }

    fn ask(&mut self, request: &Request) -> Answer {
        if let Some(reason) = &self.lost {
            return Err(reason.clone());
        }
        // The process has the same limit and comes first; starting it takes a while.
        const GRACE: Duration = Duration::from_secs(20);
        let line = serde_json::to_string(request).map_err(|error| error.to_string())? + "\n";
        let sent = match &mut self.requests {
            Some(requests) => requests.write_all(line.as_bytes()).and_then(|()| requests.flush()).is_ok(),
            None => false,
        };
        let answer = if sent {
            self.answers.recv_timeout(self.time + GRACE)
        } else {
            Err(RecvTimeoutError::Disconnected)
        };
        let answer = match answer {
            Ok(line) => serde_json::from_str::<Answered>(&line).map_err(|_| ENDED.to_owned()),
            Err(RecvTimeoutError::Timeout) => Err(beyond(self.time)),
            Err(RecvTimeoutError::Disconnected) => Err(ENDED.to_owned()),
        };
        match answer {
            Ok(Answered { answer, lost: false }) => answer,
            Ok(Answered { answer, .. }) => self.end(answer.err().unwrap_or_else(|| ENDED.to_owned())),
            Err(reason) => self.end(reason),
        }
    }

    /// Ends the process, and returns the reason.
    fn end(&mut self, reason: String) -> Answer {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.requests = None;
        self.lost = Some(reason.clone());
        Err(reason)
    }

    /// Leaves the process to the next model, or ends it.
    pub(super) fn leave(self) {
        const MOST: usize = 4;
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        if self.lost.is_none() && idle.len() < MOST {
            idle.push(self);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.lost.is_none() {
            self.requests = None;
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// An answer, and whether the process has to be ended.
#[derive(Debug, Serialize, Deserialize)]
struct Answered {
    answer: Answer,
    lost: bool,
}

/// Answers requests until standard input ends: what the process [`COMMAND`] does.
pub(crate) fn serve() {
    limit();
    let mut worker: Option<Worker> = None;
    let mut left = false;
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let answer = match serde_json::from_str(&line) {
            Ok(Request::Load { sources, date, seconds }) => {
                let time = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO);
                match Worker::start(sources, date, time) {
                    Ok(started) => {
                        worker = Some(started);
                        Ok(String::new())
                    }
                    Err(refused) => {
                        left = refused.lost;
                        Err(refused.reason)
                    }
                }
            }
            Ok(Request::Render { context, tools }) => match (&mut worker, message_value(&context)) {
                (Some(worker), Ok(context)) => worker.render(context, tools),
                (Some(_), Err(reason)) => Err(reason),
                (None, _) => Err(ENDED.to_owned()),
            },
            Err(error) => Err(error.to_string()),
        };
        // A template that only the clock ended goes on in its thread: the process ends with it.
        let lost = left || worker.as_ref().is_some_and(Worker::is_lost);
        let Ok(mut text) = serde_json::to_string(&Answered { answer, lost }) else { return };
        text.push('\n');
        let mut out = std::io::stdout().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() || lost {
            return;
        }
    }
}

/// Limits the memory of this process to what it has and the need of a template.
fn limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const NEED: u64 = 2 << 30;
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, none);
    let Some(size) = memory("VmSize:") else { return };
    let most = size.saturating_add(NEED + STACK as u64);
    let maximum = getrlimit(Resource::As).maximum;
    let _ = setrlimit(
        Resource::As,
        Rlimit { current: Some(maximum.map_or(most, |least| least.min(most))), maximum },
    );
}
