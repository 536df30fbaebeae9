//! `finetune train --nproc N`: starts the ranks of a run on this machine, and ends with them.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::run::Interrupt;

/// The option of a process that ends with its standard input.
const TIED: &str = "--while-stdin-is-open";
/// The time that the others have to end by themselves once a rank has ended.
const GRACE: Duration = Duration::from_secs(15);
/// The time between two polls of the processes.
const POLL: Duration = Duration::from_millis(50);

/// Runs this program once for each rank, with the same arguments; returns the exit code of all.
///
/// `patience` is the time in which rank 0, which may be evaluating or saving, sees that another one is gone.
pub(super) fn launch(count: usize, patience: Duration) -> Result<ExitCode> {
    if std::env::var_os("RANK").is_some() {
        bail!(
            "--nproc starts the processes of a run, but RANK is set: a launcher has started this one already"
        );
    }
    // Ranks find each other through a file in this folder, which only this user can read.
    let store = tempfile::Builder::new()
        .prefix("finetune-")
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir()
        .with_context(|| format!("cannot make a folder in {}", std::env::temp_dir().display()))?;
    let interrupt = Interrupt::listen()?;
    let mut ranks = Vec::with_capacity(count);
    for rank in 0..count {
        let started = start(rank, count, store.path()).with_context(|| format!("starting rank {rank}"));
        match started {
            Ok(child) => ranks.push(Rank { child, status: None }),
            Err(error) => {
                kill(&mut ranks);
                return Err(error);
            }
        }
    }
    let ended = wait(&mut ranks, patience, &interrupt);
    kill(&mut ranks);
    ended
}

struct Rank {
    child: Child,
    status: Option<ExitStatus>,
}

/// Starts one rank.
fn start(rank: usize, count: usize, folder: &Path) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments(std::env::args_os().skip(1)));
    // When this process dies, however suddenly, the pipe closes, and the ranks end as well.
    command.arg(TIED).stdin(Stdio::piped());
    for (name, value) in [("RANK", rank), ("LOCAL_RANK", rank), ("WORLD_SIZE", count)] {
        command.env(name, value.to_string());
    }
    command.env("GRADES_STORE", folder.join("store"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for (name, value) in [
        ("GLOO_SOCKET_IFNAME", "lo".to_owned()),
        ("NCCL_SOCKET_IFNAME", "lo".to_owned()),
        ("OMP_NUM_THREADS", (cores / count).max(1).to_string()),
        // A failure is reported once, in our words.
        ("TORCH_CPP_LOG_LEVEL", "FATAL".to_owned()),
    ] {
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    if rank > 0 {
        command.stdout(Stdio::null());
    }
    // A group of its own: Ctrl-C comes to this process alone, which passes it on once.
    Ok(command.process_group(0).spawn()?)
}

/// Returns the arguments without those of this process alone.
fn arguments(all: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut all = all;
    while let Some(argument) = all.next() {
        match argument.to_str() {
            Some("--nproc") => drop(all.next()),
            Some(TIED) => {}
            Some(text) if text.starts_with("--nproc=") => {}
            _ => kept.push(argument),
        }
    }
    kept
}

/// Waits for all ranks; a signal is passed on to rank 0, which ends the run on all.
fn wait(ranks: &mut [Rank], patience: Duration, interrupt: &Interrupt) -> Result<ExitCode> {
    let mut passed_on = false;
    let mut first_end: Option<(usize, Instant)> = None;
    loop {
        for (index, rank) in ranks.iter_mut().enumerate().filter(|(_, rank)| rank.status.is_none()) {
            rank.status = rank.child.try_wait().with_context(|| format!("waiting for rank {index}"))?;
            if rank.status.is_some() {
                first_end.get_or_insert((index, Instant::now()));
            }
        }
        if ranks.iter().all(|rank| rank.status.is_some()) {
            return Ok(code(ranks, first_end));
        }
        if interrupt.is_requested() && !std::mem::replace(&mut passed_on, true) {
            let leader = ranks.first().filter(|rank| rank.status.is_none());
            let leader = leader.and_then(|rank| i32::try_from(rank.child.id()).ok());
            if let Some(leader) = leader.and_then(Pid::from_raw) {
                // It may have ended this moment.
                let _ = kill_process(leader, Signal::TERM);
            }
        }
        if let Some((index, at)) = first_end {
            // Rank 0 sees the end of another one at its next step, and may have a model to save until then.
            for (other, rank) in ranks.iter_mut().enumerate().filter(|(_, rank)| rank.status.is_none()) {
                let limit = if other == 0 { patience + GRACE } else { GRACE };
                if at.elapsed() > limit && rank.child.kill().is_ok() {
                    let notice =
                        format!("error: rank {index} has ended, and rank {other} does not: it is killed");
                    let _ = writeln!(std::io::stderr(), "{notice}");
                }
            }
        }
        std::thread::sleep(POLL);
    }
}

/// Kills the ranks that still run.
fn kill(ranks: &mut [Rank]) {
    for rank in ranks.iter_mut().filter(|rank| rank.status.is_none()) {
        // It may have ended this moment.
        let _ = rank.child.kill();
    }
}

/// Returns the exit code that all ranks agree on, else that of the rank which ended first, or another one that failed.
fn code(ranks: &[Rank], first_end: Option<(usize, Instant)>) -> ExitCode {
    let code_of = |rank: &Rank| {
        rank.status.and_then(|status| status.code()).and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
    };
    let codes: Vec<u8> = ranks.iter().map(code_of).collect();
    let first = first_end.and_then(|(index, _)| codes.get(index).copied()).filter(|code| *code != 0);
    ExitCode::from(first.or_else(|| codes.iter().copied().find(|code| *code != 0)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_get_the_other_arguments() {
        for given in [
            &["train", "--nproc", "2", "--config", "a.toml"][..],
            &["train", "--nproc=2", "--while-stdin-is-open", "--config", "a.toml"],
        ] {
            let kept = arguments(given.iter().map(OsString::from));
            assert_eq!(kept, ["train", "--config", "a.toml"]);
        }
    }
}
