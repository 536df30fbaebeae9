//! The thread that writes checkpoints.

use std::path::PathBuf;
use std::thread::{Builder, JoinHandle};

use anyhow::{Result, anyhow};

use super::copy::Copied;
use super::name_of;
use super::write::{Written, write};
use crate::causes::with_causes;

/// Writes one checkpoint at a time beside the training.
#[derive(Debug)]
pub(crate) struct Writer {
    /// The folder of all checkpoints.
    folder: PathBuf,
    keep: usize,
    running: Option<(u64, JoinHandle<Result<Written>>)>,
    /// The newest that is whole, if this process knows one.
    last: Option<PathBuf>,
}

impl Writer {
    pub(crate) fn new(folder: PathBuf, keep: usize, last: Option<PathBuf>) -> Self {
        Self { folder, keep, running: None, last }
    }

    /// Begins to write, once the one before is written; returns what went wrong with that.
    pub(crate) fn start(&mut self, copied: Copied) -> Option<String> {
        let warning = self.wait();
        let (folder, keep, step) = (self.folder.clone(), self.keep, copied.state.step);
        let write = move || write(&folder, keep, copied);
        match Builder::new().name("checkpoint".to_owned()).spawn(write) {
            Ok(running) => {
                self.running = Some((step, running));
                warning
            }
            Err(error) => {
                let failed = self.refuse(step, &anyhow!("no thread to write it: {error}"));
                Some(warning.map_or(failed.clone(), |warning| format!("{warning}\n{failed}")))
            }
        }
    }

    /// Tells what went wrong with the last one, if it has ended by now.
    pub(crate) fn poll(&mut self) -> Option<String> {
        if self.running.as_ref().is_some_and(|(_, running)| running.is_finished()) {
            self.wait()
        } else {
            None
        }
    }

    /// Waits for the last one; returns what went wrong.
    pub(crate) fn wait(&mut self) -> Option<String> {
        let (step, running) = self.running.take()?;
        match running.join().unwrap_or_else(|_| Err(anyhow!("the thread that wrote it panicked"))) {
            Ok(Written { path, warning }) => {
                self.last = Some(path);
                warning
            }
            Err(error) => Some(self.refuse(step, &error)),
        }
    }

    /// The newest that is whole.
    pub(crate) fn last(&self) -> Option<&PathBuf> {
        self.last.as_ref()
    }

    /// The warning that the checkpoint of a step is not written.
    pub(crate) fn refuse(&self, step: u64, error: &anyhow::Error) -> String {
        let path = self.folder.join(name_of(step));
        let last = match &self.last {
            Some(last) => format!("the last whole one is {}", last.display()),
            None => "there is no earlier one".to_owned(),
        };
        format!("the checkpoint {} is not written; {last}: {}", path.display(), with_causes(error))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // An error on its way up has more to say than a checkpoint that failed as well.
        let _ = self.wait();
    }
}
