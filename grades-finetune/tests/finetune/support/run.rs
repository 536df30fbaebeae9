//! Runs in this process.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use grades_finetune::config::{Document, RunConfig};
use grades_finetune::log::{Event, Logger, MemoryLogger};
use grades_finetune::records::Summary;
use grades_finetune::run::Interrupt;
use grades_finetune::train::{Outcome, Resume, resume, train_logged};
// Links the policies, so that configurations can name them.
use grades_policies as _;
use toml::Value;

use super::{Folder, RunFiles};

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) summary: Summary,
    /// Its events.
    pub(crate) log: MemoryLogger,
    pub(crate) files: RunFiles,
    /// Failures that did not end it.
    pub(crate) warnings: Vec<String>,
}

/// The keys that have paths, which are relative to the folder in its configuration.
const PATHS: [&str; 5] = ["model.path", "data.train", "data.eval", "data.test", "output.folder"];

/// Lets one run train at a time: all draw from the same generator.
fn alone() -> MutexGuard<'static, ()> {
    static TRAINING: Mutex<()> = Mutex::new(());
    // A test that failed while it trained says nothing about the others.
    let guard = TRAINING.lock().unwrap_or_else(PoisonError::into_inner);
    // As the program has in these tests.
    tch::set_num_threads(1);
    guard
}

impl Run {
    /// Trains with the folder's configuration and assignments such as `training.epochs=3`, up to `last_step` if there is one.
    pub(crate) fn train(folder: &Folder, assignments: &[&str], last_step: Option<u64>) -> Result<Self> {
        let config = configuration(folder, assignments)?;
        let interrupt = Interrupt::never();
        let mut log = Until { step: last_step, interrupt: &interrupt, log: MemoryLogger::default() };
        let _alone = alone();
        let Outcome { summary, folder, warnings } = train_logged(&config, "base", &interrupt, &mut log)?;
        Ok(Self { summary, log: log.log, files: RunFiles { path: folder }, warnings })
    }

    /// Resumes a run with the folder's configuration and assignments; `None` when it has ended.
    pub(crate) fn resume(folder: &Folder, run: &RunFiles, assignments: &[&str]) -> Result<Option<Outcome>> {
        let config = configuration(folder, assignments)?;
        let how = Resume { folder: &run.path, allow_changes: false };
        let _alone = alone();
        resume(&config, &how, &Interrupt::never())
    }
}

/// The configuration of a folder with absolute paths, and without lines of progress.
fn configuration(folder: &Folder, assignments: &[&str]) -> Result<RunConfig> {
    let mut document = Document::read(&folder.path("base.toml"))?;
    document.put("output.quiet", true)?;
    for assignment in assignments {
        document.set(assignment)?;
    }
    document.rename_old_keys();
    for key in PATHS {
        let Some((table, name)) = key.split_once('.') else { continue };
        let value = document.table().get(table).and_then(|table| table.get(name));
        if let Some(path) = value.and_then(Value::as_str).map(|path| folder.path(path)) {
            document.put(key, path.display().to_string())?;
        }
    }
    Ok(RunConfig::read(document.table())?)
}

/// Collects the events, and requests the end after a step.
struct Until<'a> {
    step: Option<u64>,
    interrupt: &'a Interrupt,
    log: MemoryLogger,
}

impl Logger for Until<'_> {
    fn log(&mut self, event: &Event<'_>) -> Result<()> {
        if let Event::Progress(progress) = event
            && self.step == Some(progress.step)
        {
            self.interrupt.request();
        }
        self.log.log(event)
    }
}
