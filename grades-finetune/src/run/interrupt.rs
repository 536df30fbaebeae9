//! Ctrl-C and SIGTERM: the batch in hand ends, and a checkpoint is written.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::records::StopReason;

/// A request to end the run.
///
/// The first signal only sets a flag; a second one ends the process at once, with exit code 130. While a run is loaded,
/// and nothing of it can be lost, the first signal does so too.
#[derive(Debug, Clone)]
pub struct Interrupt {
    requested: Arc<AtomicBool>,
    /// Whether a signal ends the process at once.
    loading: Arc<AtomicBool>,
}

impl Interrupt {
    /// Handles SIGINT and SIGTERM from now on.
    ///
    /// # Errors
    ///
    /// When the system refuses the handlers.
    pub fn listen() -> io::Result<Self> {
        let interrupt = Self::never();
        let exit_code = StopReason::Interrupted.exit_code().into();
        for signal in [SIGINT, SIGTERM] {
            // The order matters: the first signal finds the flag unset, the second one finds it set.
            for condition in [&interrupt.loading, &interrupt.requested] {
                flag::register_conditional_shutdown(signal, exit_code, Arc::clone(condition))?;
            }
            flag::register(signal, Arc::clone(&interrupt.requested))?;
        }
        Ok(interrupt)
    }

    /// Makes one that no signal triggers, for runs inside another program.
    pub fn never() -> Self {
        Self { requested: Arc::new(AtomicBool::new(false)), loading: Arc::new(AtomicBool::new(false)) }
    }

    /// Lets a signal end the process at once until the returned value is dropped.
    pub(crate) fn end_at_once(&self) -> EndAtOnce {
        self.loading.store(true, Ordering::Relaxed);
        EndAtOnce(Arc::clone(&self.loading))
    }

    /// Requests the end, as a signal does.
    pub fn request(&self) {
        self.requested.store(true, Ordering::Relaxed);
    }

    /// Forgets a request that was met.
    pub(crate) fn clear(&self) {
        self.requested.store(false, Ordering::Relaxed);
    }

    /// Returns whether the end was requested.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }
}

/// While it lives, a signal ends the process at once.
#[derive(Debug)]
pub(crate) struct EndAtOnce(Arc<AtomicBool>);

impl Drop for EndAtOnce {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
