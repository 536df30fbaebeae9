//! Ctrl-C, and SIGTERM from whoever ends processes.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Folder, PROGRAM};

/// A run of far more steps than anyone waits for.
struct Running {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Running {
    fn start(folder: &Folder, arguments: &[&str]) -> Self {
        let all = [&["train", "--config", "base.toml", "--epochs", "1000000"], arguments].concat();
        let mut command = folder.command(PROGRAM, &all);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr }
    }

    /// Waits for a line that begins so.
    fn line(&mut self, start: &str) {
        let mut line = String::new();
        while !line.starts_with(start) {
            line.clear();
            assert!(self.stderr.read_line(&mut line).unwrap() > 0, "the run ended before \"{start}\"");
        }
    }

    fn send(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// The exit code and what was shown since the last line that was waited for.
    fn end(mut self) -> (Option<i32>, String) {
        let limit = Instant::now() + Duration::from_secs(60);
        while self.child.try_wait().unwrap().is_none() {
            if Instant::now() > limit {
                self.child.kill().unwrap();
                panic!("the run goes on after the signal");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

/// Asserts that a run ends well after a signal.
fn ends_well(signal: &str) {
    let folder = Folder::new();
    let mut run = Running::start(&folder, &[]);
    run.line("step 1/");
    run.send(signal);
    let (code, shown) = run.end();
    assert_eq!(code, Some(130), "{shown}");
    assert!(shown.contains("interrupted: saving what is trained so far"), "{shown}");

    let summary = folder.json("runs/base/summary.json");
    assert_eq!(summary["ended"], "interrupted");
    let steps = folder.lines("runs/base/steps.jsonl");
    assert_eq!(summary["steps"], steps.len());
    assert!(steps.len() < 100_000 && summary["planned_steps"] == 3_000_000);
    assert!(summary["eval_loss"].is_f64() && summary["final_train_loss"].is_f64(), "{summary}");
    assert_eq!(
        folder.names("runs/base/model"),
        ["config.json", "model.safetensors", "tokenizer.json"],
        "the model is saved"
    );
}

#[test]
fn ctrl_c_ends_after_the_step_in_hand() {
    ends_well("-INT");
}

#[test]
fn sigterm_ends_after_the_step_in_hand() {
    ends_well("-TERM");
}

#[test]
fn a_second_signal_ends_at_once() {
    let folder = Folder::new();
    // An evaluation that takes seconds comes between the first step and the second.
    folder.write("dev.tsv", crate::support::examples(10_000));
    let slow = ["--eval-every", "1", "--set", "training.eval_batch_size=1"];
    let mut run = Running::start(&folder, &slow);
    run.line("step 1/");
    run.send("-INT");
    std::thread::sleep(Duration::from_millis(100));
    run.send("-INT");
    let (code, shown) = run.end();
    assert_eq!(code, Some(130), "{shown}");
    assert!(!folder.path("runs/base/summary.json").exists());
    assert_eq!(folder.lines("runs/base/steps.jsonl").len(), 1, "the lines so far are there");
}
