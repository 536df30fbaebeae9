//! The limits that the system sets this process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::SIGXFSZ;
use signal_hook::flag;

/// Open files that a run needs: standard streams, lock and logs, and some for the files that are written at a time.
const FEWEST_FILES: u64 = 16;
/// More open files than a model with many weight files needs.
const MOST_FILES: u64 = 1 << 16;

/// Makes a file that grows beyond its limit (`ulimit -f`) an error of the write, where the signal would end the process,
/// and raises the limit of open files as far as the system lets a user do so.
///
/// # Errors
///
/// When the system refuses the handler of the signal.
pub fn survive_limits() -> io::Result<()> {
    // Whether the signal came is of no interest: the write fails as well.
    flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(MOST_FILES).min(MOST_FILES);
    if current.is_some_and(|current| current < wanted) {
        // With the limit as it is, few files can be open at a time; that may be enough.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
    Ok(())
}

/// Refuses a limit of open files with which a run could train, but not save what it has trained.
///
/// # Errors
///
/// The limit, and the cure.
pub(crate) fn check_open_files() -> Result<()> {
    match getrlimit(Resource::Nofile).current.filter(|limit| *limit < FEWEST_FILES) {
        Some(limit) => bail!(
            "this process may open {limit} files at a time (ulimit -n); a run needs {FEWEST_FILES}: raise the limit"
        ),
        None => Ok(()),
    }
}

/// Returns the largest size that a file of this process may have, in bytes; `None` without a limit.
pub fn file_size_limit() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}
