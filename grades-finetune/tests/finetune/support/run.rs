//! Runs in this process.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Error, Result};
use grades_finetune::config::{Document, RunConfig};
use grades_finetune::log::{Event, Logger, MemoryLogger};
use grades_finetune::records::Summary;
use grades_finetune::run::Interrupt;
use grades_finetune::train::{Outcome, Resume, resume, train_logged};
// Links the policies, so that configurations can name them.
use grades_policies as _;

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

/// The keys of files, which are relative to the folder in its configuration.
const INPUTS: [&str; 4] = ["model.path", "data.train", "data.eval", "data.test"];

/// Lets one run train at a time: all draw from the same generator.
fn alone() -> MutexGuard<'static, ()> {
    static TRAINING: Mutex<()> = Mutex::new(());
    // A test that failed while it trained says nothing about the others.
    let guard = TRAINING.lock().unwrap_or_else(PoisonError::into_inner);
    // As the program has in these tests.
    tch::set_num_threads(1);
    guard
}

/// The message that the program prints for an error.
pub(crate) fn message(error: &Error) -> String {
    let causes = error.chain().map(ToString::to_string);
    causes.reduce(|text, cause| if text.contains(&cause) { text } else { text + ": " + &cause }).unwrap()
}

impl Run {
    /// Trains with the folder's configuration and assignments such as `training.epochs=3`, up to `last_step` if there is one.
    pub(crate) fn train(folder: &Folder, assignments: &[&str], last_step: Option<u64>) -> Result<Self> {
        let config = configuration(folder, assignments)?;
        let interrupt = Interrupt::never();
        let mut log = Until { step: last_step, interrupt: &interrupt, log: MemoryLogger::default() };
        let _alone = alone();
        let Outcome { summary, folder, warnings, .. } = train_logged(&config, "base", &interrupt, &mut log)?;
        Ok(Self { summary, log: log.log, files: RunFiles { path: folder }, warnings })
    }

    /// Trains with a request to end and a logger of the caller's.
    pub(crate) fn train_logged(
        folder: &Folder,
        assignments: &[&str],
        interrupt: &Interrupt,
        logger: &mut dyn Logger,
    ) -> Result<Outcome> {
        let config = configuration(folder, assignments)?;
        let _alone = alone();
        train_logged(&config, "base", interrupt, logger)
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
    let text = |document: &Document, key: &str| {
        let (table, name) = key.split_once('.')?;
        document.table().get(table)?.get(name)?.as_str().map(str::to_owned)
    };
    for key in INPUTS {
        if let Some(path) = text(&document, key) {
            document.put(key, folder.path(&path).display().to_string())?;
        }
    }
    let runs = text(&document, "output.folder").unwrap_or_else(|| "runs".to_owned());
    document.put("output.folder", folder.path(&runs).display().to_string())?;
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
