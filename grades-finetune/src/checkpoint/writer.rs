//! The thread that writes checkpoints.

use std::path::{Path, PathBuf};
use std::thread::{Builder, JoinHandle};

use anyhow::{Result, anyhow};

use super::layout::name_of;
use super::snapshot::Snapshot;
use super::write::{Written, write};
use crate::causes::with_causes;

/// Writes one checkpoint at a time beside the training.
#[derive(Debug)]
pub(crate) struct Writer {
    /// The folder of all checkpoints.
    folder: PathBuf,
    keep: usize,
    running: Option<(u64, JoinHandle<Result<Written>>)>,
    /// The newest complete one that this process knows.
    last: Option<PathBuf>,
}

impl Writer {
    /// Makes a writer; `last` is the checkpoint that the run was resumed from.
    pub(crate) fn new(folder: PathBuf, keep: usize, last: Option<PathBuf>) -> Self {
        Self { folder, keep, running: None, last }
    }

    /// Starts to write, once the checkpoint before is written; returns a warning if that one failed.
    pub(crate) fn start(&mut self, snapshot: Snapshot) -> Option<String> {
        let warning = self.wait();
        let (folder, keep, step) = (self.folder.clone(), self.keep, snapshot.run.state.step);
        let write = move || write(&folder, keep, snapshot);
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

    /// Returns a warning if the last one has failed by now.
    pub(crate) fn poll(&mut self) -> Option<String> {
        if self.running.as_ref().is_some_and(|(_, running)| running.is_finished()) {
            self.wait()
        } else {
            None
        }
    }

    /// Waits for the last one; returns a warning if it failed.
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

    /// Returns the newest complete checkpoint.
    pub(crate) fn last(&self) -> Option<&Path> {
        self.last.as_deref()
    }

    /// Returns whether the checkpoint of a step is written.
    pub(crate) fn has(&self, step: u64) -> bool {
        self.last.as_deref().is_some_and(|last| last == self.folder.join(name_of(step)))
    }

    /// Words the warning that the checkpoint of a step is not written.
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
        // The error that ends the run matters more than a checkpoint that failed as well.
        let _ = self.wait();
    }
}
