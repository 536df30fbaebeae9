//! Calls the library of tokenizers on a thread of its own, with a limit on time.
//!
//! A tokenizer has regular expressions of strangers, which may go back and forth for years. A thread that does not end is left
//! behind, because it cannot be stopped; it ends with the program, which the error ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::library::quiet;
use crate::data::error::{Error, Result};

/// Expressions and trees nest as deeply as files say.
const STACK: usize = 64 << 20;

type Job = Box<dyn FnOnce() + Send>;

/// A tokenizer and the thread that works with it.
#[derive(Debug)]
pub(crate) struct Clocked {
    inner: Arc<tokenizers::Tokenizer>,
    path: PathBuf,
    jobs: Mutex<Sender<Job>>,
}

impl Clocked {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// [`Error::File`] when the system has no thread left.
    pub(crate) fn new(inner: tokenizers::Tokenizer, path: &Path) -> Result<Self> {
        let (jobs, todo) = channel::<Job>();
        spawn(path, move || todo.into_iter().for_each(|job| job()))?;
        Ok(Self { inner: Arc::new(inner), path: path.to_path_buf(), jobs: Mutex::new(jobs) })
    }

    /// Returns the tokenizer, for calls that last no time.
    pub(crate) fn inner(&self) -> &tokenizers::Tokenizer {
        &self.inner
    }

    /// Calls the library, whose time depends on the bytes of text; `what` begins the message of its error.
    ///
    /// # Errors
    ///
    /// [`Error::File`] for an error or a panic of the library, and when it takes too long.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        bytes: usize,
        what: &str,
        call: impl FnOnce(&tokenizers::Tokenizer) -> tokenizers::Result<T> + Send + 'static,
    ) -> Result<T> {
        // Tokenizers in use take a second for some 100,000 bytes at the least.
        let time = Duration::from_secs(20 + bytes as u64 / 20_000);
        let inner = Arc::clone(&self.inner);
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let send = |job: Job| jobs.send(job).is_ok();
        let done = within(time, send, move || call(&inner));
        drop(jobs);
        match done {
            Ok(done) => done.map_err(|error| Error::file(&self.path, format!("{what}: {error}"))),
            Err(reason) => Err(Error::file(&self.path, format!("{what}: {reason}"))),
        }
    }
}

/// Calls a function on a thread of its own, with a limit on time.
///
/// # Errors
///
/// The function's error, and [`Error::File`] when it panics or takes too long.
pub(super) fn timed<T: Send + 'static>(
    path: &Path,
    time: Duration,
    call: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let send = |job: Job| spawn(path, job).is_ok();
    within(time, send, call)
        .unwrap_or_else(|reason| Err(Error::file(path, format!("cannot be loaded: {reason}"))))
}

/// Sends a job, and waits for it until the time is over; the error is the reason in words.
fn within<T: Send + 'static>(
    time: Duration,
    send: impl FnOnce(Job) -> bool,
    call: impl FnOnce() -> T + Send + 'static,
) -> std::result::Result<T, String> {
    const NO_SENSE: &str = "it makes no sense to the library that reads it";
    let (done, answer) = channel();
    let job = move || {
        // The call's half-done values are never used again.
        let _ = done.send(catch_unwind(AssertUnwindSafe(call)));
    };
    if !send(Box::new(job)) {
        return Err("its thread is gone".to_owned());
    }
    match answer.recv_timeout(time) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => Err(NO_SENSE.to_owned()),
        Err(RecvTimeoutError::Timeout) => Err(format!("it takes more than {} seconds", time.as_secs_f64())),
    }
}

fn spawn(path: &Path, run: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = std::thread::Builder::new().name("tokenizer".into()).stack_size(STACK);
    let quietly = || {
        quiet();
        run();
    };
    thread
        .spawn(quietly)
        .map(drop)
        .map_err(|error| Error::file(path, format!("there is no thread for it: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_or_panics_is_an_error() {
        let path = Path::new("tokenizer.json");
        // On a machine that has other things to do.
        let call = |work: fn() -> Result<u8>| timed(path, Duration::from_secs(60), work);
        assert_eq!(call(|| Ok(3)).unwrap(), 3);
        let slow = timed(path, Duration::from_millis(200), || {
            std::thread::sleep(Duration::from_secs(2));
            Ok(3)
        });
        assert_eq!(
            slow.unwrap_err().to_string(),
            "tokenizer.json: cannot be loaded: it takes more than 0.2 seconds"
        );
        let panics =
            call(|| Err(Error::Input([1, 2][usize::from(std::env::args().count() > 0) * 2].to_string())));
        let message = "tokenizer.json: cannot be loaded: it makes no sense to the library that reads it";
        assert_eq!(panics.unwrap_err().to_string(), message);
    }
}
