//! A run as a process of its own.

use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::run::Interrupt;

/// The end of a process.
pub(super) enum Ended {
    /// By itself.
    Exited(ExitStatus),
    /// It was ended, because the user asked for an end.
    Interrupted,
}

/// The time between two polls of the process, and between two reports of its last line.
const POLL_EVERY: Duration = Duration::from_millis(100);
const REPORT_EVERY: Duration = Duration::from_secs(30);

/// Runs this program with its output in a log file, and reports its last line now and then.
pub(super) fn run(
    program: &Path,
    arguments: &[&str],
    log: &Path,
    interrupt: &Interrupt,
    mut report: impl FnMut(&str),
) -> Result<Ended> {
    let file = File::create(log).with_context(|| format!("cannot make {}", log.display()))?;
    let errors = file.try_clone().with_context(|| format!("cannot write {}", log.display()))?;
    let mut child = Command::new(program)
        .args(arguments)
        // When this process dies, however suddenly, the pipe closes, and the run ends as well.
        .arg("--while-stdin-is-open")
        .stdin(Stdio::piped())
        .stdout(file)
        .stderr(errors)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let mut reported = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("waiting for a run")? {
            // Ctrl-C in a terminal goes to both processes.
            return Ok(if interrupt.is_requested() { Ended::Interrupted } else { Ended::Exited(status) });
        }
        if interrupt.is_requested() {
            // A run that is cut short is made anew, so nothing of it has to be saved.
            child.kill().context("ending a run")?;
            child.wait().context("waiting for a run")?;
            return Ok(Ended::Interrupted);
        }
        if reported.elapsed() >= REPORT_EVERY {
            reported = Instant::now();
            if let Some(line) = last_line(log) {
                report(&line);
            }
        }
        std::thread::sleep(POLL_EVERY);
    }
}

/// Returns the last line of a log, or the error that it has.
pub(super) fn last_line(log: &Path) -> Option<String> {
    let bytes = grades_lora::read_regular(log).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines().rfind(|line| line.starts_with("error: ")).or_else(|| lines().next_back()).map(str::to_owned)
}
