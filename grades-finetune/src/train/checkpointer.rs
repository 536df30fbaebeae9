//! Writes checkpoints when they are due.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use grades::torch::generator_state;
use tch::{Device, Tensor};

use crate::checkpoint::{self, RunToml, Snapshot, Writer, generators};
use crate::config::CheckpointConfig;
use crate::log::LogFiles;
use crate::run::RunFolder;
use crate::state::TrainState;
use crate::tasks::Optimizer;

/// Writes the checkpoints of a run, on a thread of its own.
pub(super) struct Checkpointer {
    every: u64,
    writer: Writer,
    /// The text of `config.toml`.
    config: String,
    /// The files that the run reads.
    inputs: BTreeMap<String, String>,
    logs: LogFiles,
}

impl Checkpointer {
    /// Makes the checkpointer of a run; `last` is the checkpoint that it was resumed from.
    pub(super) fn new(
        folder: &RunFolder,
        config: CheckpointConfig,
        text: String,
        inputs: BTreeMap<String, String>,
        logs: LogFiles,
        last: Option<PathBuf>,
    ) -> Self {
        let writer = Writer::new(folder.file(checkpoint::FOLDER), config.keep, last);
        Self { every: config.every, writer, config: text, inputs, logs }
    }

    /// Returns whether a checkpoint is due after this step.
    pub(super) fn is_due(&self, step: u64) -> bool {
        self.every > 0 && step.is_multiple_of(self.every)
    }

    /// Copies the state and starts to write it, once the checkpoint before is written; returns warnings. `others` are the
    /// generators of other ranks.
    ///
    /// # Errors
    ///
    /// When the state cannot be copied. A checkpoint that cannot be written is a warning.
    pub(super) fn save(
        &mut self,
        state: TrainState,
        optimizer: &mut Optimizer,
        device: Device,
        best: Vec<(String, Tensor)>,
        others: Vec<(String, Vec<u8>)>,
    ) -> Result<Vec<String>> {
        // First of all: other ranks send their states already.
        let saved = optimizer.saved_state()?;
        let step = state.step;
        let mut run = RunToml::new(state, self.config.clone(), self.inputs.clone());
        match self.logs.digests() {
            Ok(digests) => run.set_logs(digests),
            // A run that resumed from such a checkpoint would lack these lines.
            Err(error) => {
                let before = self.writer.wait();
                return Ok(before.into_iter().chain([self.writer.refuse(step, &error)]).collect());
            }
        }
        for (name, device) in generators(device) {
            run.set_generator(name, &generator_state(device)?);
        }
        for (name, state) in &others {
            run.set_generator(name, state);
        }
        let snapshot = Snapshot::new(run, saved, optimizer.parameters(), best, self.logs.files())?;
        Ok(self.writer.start(snapshot).into_iter().collect())
    }

    /// Returns warnings about a checkpoint or a log that has failed by now.
    pub(super) fn poll(&mut self) -> Vec<String> {
        self.writer.poll().into_iter().chain(self.logs.new_errors()).collect()
    }

    /// Waits for the last checkpoint; returns a warning if it failed.
    pub(super) fn wait(&mut self) -> Option<String> {
        self.writer.wait()
    }

    /// Returns the newest complete checkpoint.
    pub(super) fn last(&self) -> Option<&Path> {
        self.writer.last()
    }

    /// Returns whether the checkpoint of a step is written.
    pub(super) fn has(&self, step: u64) -> bool {
        self.writer.has(step)
    }

    /// Returns a warning for each log that lacks lines.
    pub(super) fn incomplete_logs(&self) -> Vec<String> {
        self.logs.incomplete()
    }
}
