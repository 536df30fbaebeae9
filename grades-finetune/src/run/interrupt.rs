//! Ctrl-C and SIGTERM: the current step ends, and the model is saved.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::records::StopReason;

/// A request to end the run.
///
/// The first signal only sets a flag; a second one ends the process at once, with exit code 130.
#[derive(Debug, Clone)]
pub struct Interrupt {
    requested: Arc<AtomicBool>,
}

impl Interrupt {
    /// Handles SIGINT and SIGTERM from now on.
    ///
    /// # Errors
    ///
    /// When the system refuses the handlers.
    pub fn listen() -> io::Result<Self> {
        let requested = Arc::new(AtomicBool::new(false));
        let exit_code = StopReason::Interrupted.exit_code().into();
        for signal in [SIGINT, SIGTERM] {
            // The order matters: the first signal finds the flag unset, the second one finds it set.
            flag::register_conditional_shutdown(signal, exit_code, Arc::clone(&requested))?;
            flag::register(signal, Arc::clone(&requested))?;
        }
        Ok(Self { requested })
    }

    /// Makes one that no signal triggers, for runs inside another program.
    pub fn never() -> Self {
        Self { requested: Arc::new(AtomicBool::new(false)) }
    }

    /// Requests the end, as a signal does.
    pub fn request(&self) {
        self.requested.store(true, Ordering::Relaxed);
    }

    /// Returns whether the end was requested.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }
}
