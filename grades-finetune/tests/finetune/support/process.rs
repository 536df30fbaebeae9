//! The program `finetune` in processes of its own.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

/// The path of the program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_finetune");

/// The exit code and output of a process that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(command: &mut Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::end_of(command.spawn().unwrap())
    }

    /// Waits for a process whose output is piped.
    pub(crate) fn end_of(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// The message of the error, which comes last on standard error.
    pub(crate) fn error(&self) -> String {
        let (_, message) =
            self.stderr.split_once("error: ").unwrap_or_else(|| panic!("no error is printed: {self:?}"));
        message.trim_end().to_owned()
    }
}

/// A process that trains and gets signals.
pub(crate) struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    /// Starts a run and waits for its first step.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("step 1/") {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "the run ended before its first step");
        }
        Self { child, stderr }
    }

    pub(crate) fn send(&self, signal: &str) {
        send(&self.child, signal);
    }

    /// Returns the exit code and what was shown since the first step.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let limit = Instant::now() + Duration::from_secs(60);
        let mut shown = String::new();
        while self.child.try_wait().unwrap().is_none() {
            if Instant::now() > limit {
                self.child.kill().unwrap();
                panic!("the run goes on after the signal");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.stderr.read_to_string(&mut shown).unwrap();
        (self.child.wait().unwrap().code(), shown)
    }
}

/// Sends a signal such as `-TERM`.
pub(crate) fn send(child: &Child, signal: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
}
