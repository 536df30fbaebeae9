//! The logs in a run's folder: `steps.jsonl`, `freezes.jsonl`, `evals.jsonl` and `statistics.jsonl`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use grades::component::Component;
use grades::observe::{FreezeLog, StatisticsLog, StepObserver};

use super::event::{Event, Logger};
use super::jsonl::BufferedJsonl;
use crate::records::{EVALS, FREEZES, STATISTICS, STEPS, write_line};
use crate::storage::Digest;

/// The open log files of a run. A clone writes into the same files.
#[derive(Debug, Clone)]
pub(crate) struct LogFiles {
    steps: BufferedJsonl,
    freezes: BufferedJsonl,
    evals: BufferedJsonl,
    statistics: BufferedJsonl,
}

impl LogFiles {
    /// Opens the logs and cuts each to its length in `lengths`; a log without a length becomes empty.
    ///
    /// # Errors
    ///
    /// When a file cannot be opened or cut, or ends within a line.
    pub(crate) fn open(folder: &Path, lengths: &BTreeMap<String, u64>) -> Result<Self> {
        let open = |name: &str| {
            BufferedJsonl::open(&folder.join(name), lengths.get(name).copied().unwrap_or_default())
        };
        Ok(Self {
            steps: open(STEPS)?,
            freezes: open(FREEZES)?,
            evals: open(EVALS)?,
            statistics: open(STATISTICS)?,
        })
    }

    fn iter(&self) -> impl Iterator<Item = (&'static str, &BufferedJsonl)> {
        [(STEPS, &self.steps), (FREEZES, &self.freezes), (EVALS, &self.evals), (STATISTICS, &self.statistics)]
            .into_iter()
    }

    /// Returns the digests of the files, by name.
    ///
    /// # Errors
    ///
    /// When a file lacks lines that could not be written, or another program has written into it.
    pub(crate) fn digests(&self) -> Result<BTreeMap<String, Digest>> {
        let digest = |(name, log): (&str, &BufferedJsonl)| match log.digest() {
            Ok(digest) => Ok((name.to_owned(), digest)),
            Err(reason) => Err(anyhow!("{name} {reason}")),
        };
        self.iter().map(digest).collect()
    }

    /// Returns the files, to sync them.
    pub(crate) fn files(&self) -> Vec<Arc<File>> {
        self.iter().map(|(_, log)| log.file()).collect()
    }

    /// Returns a warning for each file that has begun to fail since the last call.
    pub(crate) fn new_errors(&self) -> Vec<String> {
        let failed = self.iter().filter_map(|(name, log)| Some((name, log.new_error()?)));
        failed.map(|(name, reason)| format!("{name} cannot be written: {reason}; its lines wait")).collect()
    }

    /// Returns a warning for each file that lacks lines.
    pub(crate) fn incomplete(&self) -> Vec<String> {
        let failed = self.iter().filter_map(|(name, log)| Some((name, log.error()?)));
        failed.map(|(name, reason)| format!("{name} is incomplete: {reason}")).collect()
    }
}

/// Writes the logs.
#[derive(Debug)]
pub(crate) struct FileLogger {
    steps: BufferedJsonl,
    evals: BufferedJsonl,
    freezes: FreezeLog<BufferedJsonl>,
    statistics: StatisticsLog<BufferedJsonl>,
}

impl FileLogger {
    /// Makes the logger; an empty `statistics.jsonl` begins with the components.
    ///
    /// # Errors
    ///
    /// When `statistics.jsonl` cannot be measured.
    pub(crate) fn new(folder: &Path, files: &LogFiles, components: &[Component]) -> Result<Self> {
        let LogFiles { steps, freezes, evals, statistics } = files.clone();
        let name = |log: &str| folder.join(log).display().to_string();
        let digest = statistics.digest().map_err(|reason| anyhow!("{} {reason}", name(STATISTICS)))?;
        let statistics = if digest.bytes() > 0 {
            StatisticsLog::resume(name(STATISTICS), statistics)
        } else {
            StatisticsLog::start(name(STATISTICS), statistics, components)?
        };
        Ok(Self { steps, evals, freezes: FreezeLog::new(name(FREEZES), freezes), statistics })
    }
}

impl Logger for FileLogger {
    fn log(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Step(record) => {
                write_line(&mut self.steps, record)?;
                // A killed run leaves complete lines.
                self.steps.flush()?;
            }
            Event::Evaluation(record) => {
                write_line(&mut self.evals, record)?;
                self.evals.flush()?;
            }
            Event::Report(report) => {
                self.freezes.on_step(report)?;
                self.statistics.on_step(report)?;
            }
            _ => {}
        }
        Ok(())
    }
}
