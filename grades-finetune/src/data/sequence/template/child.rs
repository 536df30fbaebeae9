//! Renders in a process of the program, which is killed when a template does not end by itself.
//!
//! `server` is the other side. A process whose model is gone waits for the next model.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::conversation::Conversation;
use super::server::{Answer, COMMAND, Load, Reply, Request};
use super::worker::{ENDED, beyond};

/// The program whose processes render; without one a thread renders.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// A process without a model.
static IDLE: Mutex<Option<Connection>> = Mutex::new(None);

/// Renders chat templates in processes of the program `finetune` at this path, from the next model that is loaded on.
///
/// Templates are programs of strangers. A thread that renders one cannot be stopped: where only the clock ends a template, the
/// thread goes on until this process ends. A process is killed instead, and neither its memory nor its stack is this one's.
/// The program `finetune` calls this function itself. The path of the first call counts.
pub fn isolate_templates(program: &Path) {
    let _ = PROGRAM.set(program.to_path_buf());
}

/// Ends the process that waits for a model.
pub(crate) fn end_idle_process() {
    drop(IDLE.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// A process with the templates of a model.
#[derive(Debug)]
pub(super) struct Process {
    /// `None` from the moment when the process is killed.
    connection: Option<Connection>,
    time: Duration,
    /// The reason why the process was killed.
    lost: String,
}

impl Process {
    /// Compiles named templates in a process; `None` where there is no program for one.
    ///
    /// # Errors
    ///
    /// The library's message, or the limit that the templates exceed.
    pub(super) fn start(sources: &[(String, String)], time: Duration) -> Answer<Option<Self>> {
        let idle = || IDLE.lock().unwrap_or_else(PoisonError::into_inner).take();
        let new = || PROGRAM.get().and_then(|program| Connection::open(program));
        let Some(connection) = idle().or_else(new) else { return Ok(None) };
        let mut process = Self { connection: Some(connection), time, lost: String::new() };
        process.ask(&Request::Load(Load { sources: sources.to_vec(), seconds: time.as_secs_f64() }))?;
        Ok(Some(process))
    }

    /// Renders a conversation.
    ///
    /// # Errors
    ///
    /// The template's message, or the limit that it exceeds.
    pub(super) fn render(&mut self, conversation: Conversation) -> Answer<String> {
        self.ask(&Request::Render(conversation))
    }

    fn ask(&mut self, request: &Request) -> Answer<String> {
        // The process has the same limit and is the first to see it; its start needs some time.
        const GRACE: Duration = Duration::from_secs(20);
        let Some(connection) = &mut self.connection else { return Err(self.lost.clone()) };
        let line =
            serde_json::to_string(request).map_err(|error| format!("cannot be rendered: {error}"))? + "\n";
        let reply = match connection.exchange(&line, self.time + GRACE) {
            Ok(line) => serde_json::from_str(&line)
                .unwrap_or_else(|_| Reply { answer: Err(ENDED.to_owned()), lost: true }),
            Err(RecvTimeoutError::Timeout) => Reply { answer: Err(beyond(self.time)), lost: true },
            Err(RecvTimeoutError::Disconnected) => Reply { answer: Err(ENDED.to_owned()), lost: true },
        };
        if reply.lost {
            self.lost = reply.answer.as_ref().err().map_or(ENDED, String::as_str).to_owned();
            self.connection = None;
        }
        reply.answer
    }
}

impl Drop for Process {
    /// Leaves the process to the next model, unless another one waits already.
    fn drop(&mut self) {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.is_none() {
            *idle = self.connection.take();
        }
    }
}

/// A running process; to drop it kills the process.
#[derive(Debug)]
struct Connection {
    child: Child,
    requests: ChildStdin,
    replies: Receiver<String>,
}

impl Connection {
    /// Starts a process; `None` where the system has no room for one.
    fn open(program: &Path) -> Option<Self> {
        let mut command = Command::new(program);
        // In a group of its own it gets no signal that is for the group of this program.
        command.arg(COMMAND).process_group(0).env("OMP_NUM_THREADS", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().ok()?;
        let (send, replies) = channel();
        let (Some(requests), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            kill(&mut child);
            return None;
        };
        // The thread ends with the process.
        let read = move || {
            let lines = BufReader::new(output).lines();
            let _ = lines.map_while(Result::ok).try_for_each(|line| send.send(line));
        };
        let thread = std::thread::Builder::new().name("templates".into()).spawn(read);
        if thread.is_err() {
            kill(&mut child);
            return None;
        }
        Some(Self { child, requests, replies })
    }

    /// Sends a line, and waits for the one that answers it.
    fn exchange(&mut self, line: &str, time: Duration) -> Result<String, RecvTimeoutError> {
        let sent = self.requests.write_all(line.as_bytes()).and_then(|()| self.requests.flush());
        sent.map_err(|_| RecvTimeoutError::Disconnected)?;
        self.replies.recv_timeout(time)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        kill(&mut self.child);
    }
}

fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
