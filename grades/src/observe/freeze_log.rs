//! Writes `freezes.jsonl`: one line per freeze event.

use std::fmt;
use std::io::Write;

use super::StepObserver;
use crate::error::{Error, Result};
use crate::tracker::StepReport;

/// Writes one JSON line per freeze event.
///
/// ```
/// use grades::observe::{FreezeLog, StepObserver};
/// use grades::tracker::StepReport;
///
/// let mut log = FreezeLog::new("freezes.jsonl", Vec::new());
/// log.on_step(&StepReport::new(1, 100, 36))?; // nothing froze: no line
/// assert!(log.into_inner().is_empty());
/// # Ok::<(), grades::Error>(())
/// ```
pub struct FreezeLog<W> {
    name: String,
    writer: W,
}

impl<W: Write> FreezeLog<W> {
    /// Creates a log; errors call its file `name`.
    pub fn new(name: impl Into<String>, writer: W) -> Self {
        Self { name: name.into(), writer }
    }

    /// Returns the writer.
    pub fn into_inner(self) -> W {
        self.writer
    }
}

impl<W> fmt::Debug for FreezeLog<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FreezeLog").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<W: Write> StepObserver for FreezeLog<W> {
    fn on_step(&mut self, report: &StepReport) -> Result<()> {
        let failed = |source| Error::Io { doing: format!("writing {}", self.name), source };
        for event in &report.events {
            let mut line = serde_json::to_vec(event).map_err(|error| failed(error.into()))?;
            line.push(b'\n');
            self.writer.write_all(&line).map_err(failed)?;
        }
        if report.events.is_empty() { Ok(()) } else { self.writer.flush().map_err(failed) }
    }
}
