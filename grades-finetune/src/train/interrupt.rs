//! Ctrl-C and SIGTERM: the step in hand ends, the model is saved.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::records::StopReason;

/// Whether the user, or whoever ends the process, has asked for an end.
///
/// The first signal only sets a flag; a second one ends the process at once, with exit code 130.
#[derive(Debug, Clone)]
pub struct Interrupt {
    asked: Arc<AtomicBool>,
}

impl Interrupt {
    /// Listens to SIGINT and SIGTERM from now on.
    ///
    /// # Errors
    ///
    /// When the system refuses the handlers.
    pub fn listen() -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // The order matters: a first signal finds the flag down, the second one finds it up.
            flag::register_conditional_shutdown(
                signal,
                StopReason::Interrupted.exit_code().into(),
                Arc::clone(&asked),
            )?;
            flag::register(signal, Arc::clone(&asked))?;
        }
        Ok(Self { asked })
    }

    /// One that nobody can trigger, for runs inside another program.
    pub fn never() -> Self {
        Self { asked: Arc::new(AtomicBool::new(false)) }
    }

    /// Whether an end was asked for.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}
