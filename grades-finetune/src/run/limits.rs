//! The limits that the system sets this process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::SIGXFSZ;
use signal_hook::flag;

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

/// Returns the largest size that a file of this process may have, in bytes; `None` without a limit.
pub fn file_size_limit() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}
