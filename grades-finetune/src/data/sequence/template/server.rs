//! Renders for another process of the program, which sends a request a line to standard input and reads a reply a line from
//! standard output.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::conversation::Conversation;
use super::worker::{ENDED, Refused, STACK, Worker, memory};

/// The argument of the program that makes it such a process.
pub(crate) const COMMAND: &str = "__templates";

/// A value, or a message.
pub(super) type Answer<T> = Result<T, String>;

#[derive(Serialize, Deserialize)]
pub(super) enum Request {
    Load(Load),
    Render(Conversation),
}

/// Named templates to be compiled, and the time that each conversation then has.
#[derive(Serialize, Deserialize)]
pub(super) struct Load {
    pub(super) sources: Vec<(String, String)>,
    pub(super) seconds: f64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Reply {
    pub(super) answer: Answer<String>,
    /// Whether the process is of no more use: a template that only the clock ended goes on in its thread.
    pub(super) lost: bool,
}

/// Answers requests until standard input ends.
pub(crate) fn serve() {
    restrict();
    let mut worker = None;
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let reply = match serde_json::from_str(&line) {
            Ok(Request::Load(load)) => compile(&mut worker, load),
            Ok(Request::Render(conversation)) => render(worker.as_mut(), conversation),
            Err(error) => Reply { answer: Err(format!("cannot be rendered: {error}")), lost: false },
        };
        let Ok(mut text) = serde_json::to_string(&reply) else { return };
        text.push('\n');
        let mut out = std::io::stdout().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() || reply.lost {
            return;
        }
    }
}

fn compile(worker: &mut Option<Worker>, load: Load) -> Reply {
    // The thread of the last model ends first.
    *worker = None;
    let time = Duration::try_from_secs_f64(load.seconds).unwrap_or(Duration::ZERO);
    match Worker::start(load.sources, time) {
        Ok(started) => {
            *worker = Some(started);
            Reply { answer: Ok(String::new()), lost: false }
        }
        Err(Refused { reason, lost }) => Reply { answer: Err(reason), lost },
    }
}

fn render(worker: Option<&mut Worker>, conversation: Conversation) -> Reply {
    let Some(worker) = worker else { return Reply { answer: Err(ENDED.to_owned()), lost: true } };
    let answer = worker.render(conversation);
    Reply { answer, lost: worker.is_lost() }
}

/// Limits the memory of this process to what it has and the need of a template. It ends with its standard input, and not by a
/// signal, which is for the process that it serves.
fn restrict() {
    const NEED: u64 = 2 << 30;
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
    }
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let Some(size) = memory("VmSize:") else { return };
    let most = size.saturating_add(NEED + STACK as u64);
    let maximum = getrlimit(Resource::As).maximum;
    let current = Some(maximum.map_or(most, |least| least.min(most)));
    let _ = setrlimit(Resource::As, Rlimit { current, maximum });
}
