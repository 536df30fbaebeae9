//! What a run does so that nothing is lost.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use grades::torch::generator_state;
use tch::Device;

use super::checkpoint::{Copied, Counters, FOLDER, LOGS, RunState, Stopping, Writer};
use super::folder::RunFolder;
use super::guard::{BadNumbers, GuardState};
use super::lines::LineFile;
use super::recipe::Run;
use super::resume::Earlier;
use crate::config::RunConfig;
use crate::records::StopReason;

/// What checkpoints are made of besides the model and the optimizer.
pub(super) struct Keeping {
    writer: Writer,
    config: String,
    inputs: BTreeMap<String, String>,
    /// Those of [`LOGS`].
    logs: Vec<LineFile>,
    /// When this process began with the run.
    start: Instant,
    /// What the run had added up when it was resumed.
    earlier: RunState,
}

impl Keeping {
    /// Makes the logs, or cuts them to what the checkpoint has counted; `start` is when this process began with the run.
    pub(super) fn new(
        folder: &RunFolder,
        config: &RunConfig,
        text: String,
        inputs: BTreeMap<String, String>,
        earlier: Option<Earlier>,
        start: Instant,
    ) -> Result<Self> {
        let (state, last) = match earlier {
            Some(earlier) => (earlier.state, earlier.checkpoint),
            None => (RunState::new(0, text.clone(), inputs.clone()), None),
        };
        let log = |name: &&str| folder.continue_file(name, state.log(name)).map(LineFile::new);
        let logs = LOGS.iter().map(log);
        let logs = logs.collect::<Result<_>>()?;
        let writer = Writer::new(folder.file(FOLDER), config.checkpoint.keep, last);
        Ok(Self { writer, config: text, inputs, logs, start, earlier: state })
    }

    /// A log.
    pub(super) fn log(&self, name: &str) -> Result<LineFile> {
        let place = LOGS.iter().position(|log| *log == name);
        place.and_then(|place| self.logs.get(place)).cloned().with_context(|| format!("{name} is no log"))
    }

    /// The logs that lack something, with the reason.
    pub(super) fn incomplete(&self) -> Vec<String> {
        let logs = LOGS.iter().zip(&self.logs);
        let failed = logs.filter_map(|(name, log)| Some((name, log.failure()?)));
        failed.map(|(name, reason)| format!("{name} is incomplete: {reason}")).collect()
    }

    /// What the run had added up when it was resumed.
    pub(super) fn earlier(&self) -> &Counters {
        &self.earlier.counters
    }

    /// What the guard had seen by then.
    pub(super) fn guard(&self) -> GuardState {
        self.earlier.guard.clone()
    }

    /// Seconds since the run began, breaks left out.
    pub(super) fn wall_seconds(&self) -> f64 {
        self.earlier.counters.wall_seconds + self.start.elapsed().as_secs_f64()
    }
}

impl Run<'_> {
    /// Begins a checkpoint where one is due, and tells of one that failed.
    pub(super) fn keep(&mut self, step: u64) -> Result<()> {
        let every = self.config.checkpoint.every;
        if every > 0 && step.is_multiple_of(every) {
            self.checkpoint()?;
        }
        if let Some(warning) = self.keeping.writer.poll() {
            self.warn(&warning);
        }
        let logs = LOGS.iter().zip(&self.keeping.logs);
        for (name, reason) in logs.filter_map(|(name, log)| Some((name, log.news()?))) {
            self.warn(&format!("{name} cannot be written: {reason}; its lines wait"));
        }
        Ok(())
    }

    /// Copies the state and begins to write it, once the checkpoint before is written.
    fn checkpoint(&mut self) -> Result<()> {
        if let Some(report) = self.optimizer.flush()? {
            self.take_events(&report)?;
        }
        self.log.fetch()?;
        self.watch();
        let mut state =
            RunState::new(self.optimizer.steps(), self.keeping.config.clone(), self.keeping.inputs.clone());
        state.counters = self.counters();
        state.guard = self.guard.state().clone();
        for (name, log) in LOGS.iter().zip(&self.keeping.logs) {
            match log.length() {
                Ok(length) => state.logs.insert((*name).to_owned(), length),
                // A run that went on from such a checkpoint would lack these lines.
                Err(reason) => {
                    let reason = anyhow!("{name} cannot be written: {reason}");
                    let warnings =
                        [self.keeping.writer.wait(), Some(self.keeping.writer.refuse(state.step, &reason))];
                    warnings.into_iter().flatten().for_each(|warning| self.warn(&warning));
                    return Ok(());
                }
            };
        }
        let mut best = Vec::new();
        if let Some(stopping) = &self.stopping {
            let (patience, last, copies) = stopping.saved();
            state.stopping = Some(Stopping { last, patience });
            best = copies;
        }
        for (name, device) in generators(self.task.device()) {
            state.put_generator(name, &generator_state(device)?);
        }
        let optimizer = self.optimizer.saved_state()?;
        let handles = self.keeping.logs.iter().map(LineFile::handle);
        let handles = handles.collect::<std::io::Result<_>>().context("copying a handle")?;
        let copied = Copied::new(state, optimizer, self.optimizer.parameters(), best, handles)?;
        if let Some(warning) = self.keeping.writer.start(copied) {
            self.warn(&warning);
        }
        Ok(())
    }

    /// The last losses, and a checkpoint where the run ends before its time.
    ///
    /// # Errors
    ///
    /// A [`BadNumbers`] when that is why it ends.
    pub(super) fn end(&mut self, ended: StopReason) -> Result<()> {
        self.log.fetch()?;
        self.watch();
        if ended.is_premature() {
            self.checkpoint()?;
        }
        if let Some(warning) = self.keeping.writer.wait() {
            self.warn(&warning);
        }
        if ended != StopReason::NonFinite {
            return Ok(());
        }
        self.progress.finish();
        let kept = match self.keeping.writer.last() {
            Some(last) => format!("The newest whole checkpoint is {}", last.display()),
            None => "There is no whole checkpoint".to_owned(),
        };
        Err(BadNumbers { count: self.guard.state().in_a_row, step: self.optimizer.steps(), kept }.into())
    }

    /// Has the guard look at the losses that are known by now.
    pub(super) fn watch(&mut self) {
        for fetched in self.log.take_fetched() {
            if let Some(warning) = self.guard.watch(fetched.step, fetched.loss, fetched.skipped) {
                self.warn(&warning);
            }
        }
    }

    /// A warning for a run whose last steps were bad.
    pub(super) fn bad_end(&self) -> Option<String> {
        let count = self.guard.state().in_a_row;
        let text = || format!("the last {count} steps had a loss or gradients that are not finite");
        (count > 0).then(text)
    }

    /// What has added up by now.
    pub(super) fn counters(&self) -> Counters {
        let earlier = self.keeping.earlier();
        let steps = || self.freezes.iter().map(|event| event.step);
        let mut counters = Counters {
            nanoseconds: u64::try_from(self.seconds.as_nanos()).unwrap_or(u64::MAX),
            wall_seconds: self.keeping.wall_seconds(),
            cpu_seconds: self.cpu_seconds,
            loop_seconds: self.loop_seconds(),
            eval_seconds: self.eval_seconds,
            validation_seconds: self.validation_seconds,
            validations: self.validations,
            evaluation_due: self.evaluation_due,
            examples: self.examples,
            tokens: self.tokens,
            first_freeze: earlier.first_freeze.or(steps().next()),
            last_freeze: steps().next_back().or(earlier.last_freeze),
            last_loss: self.log.last_loss(),
            resumes: earlier.resumes,
            ..Counters::default()
        };
        counters.take_flops(&self.flops);
        counters
    }

    /// Seconds since the first step began, breaks left out.
    pub(super) fn loop_seconds(&self) -> f64 {
        self.keeping.earlier().loop_seconds + self.begun.elapsed().as_secs_f64()
    }

    fn warn(&self, warning: &str) {
        for line in warning.lines() {
            self.progress.always(&format!("warning: {line}"));
        }
    }
}

/// The generators of random numbers that a run on a device draws from, by the names that checkpoints have for them.
pub(super) fn generators(device: Device) -> impl Iterator<Item = (&'static str, Device)> {
    let on_device = if device.is_cuda() { Some(("cuda", device)) } else { None };
    std::iter::once(("cpu", Device::Cpu)).chain(on_device)
}
