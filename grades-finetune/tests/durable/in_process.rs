//! A run inside another process: its events, and an end that the caller requests.

use anyhow::Result;
use grades_finetune::config::{Document, RunConfig};
use grades_finetune::log::{Event, Logger, MemoryLogger};
use grades_finetune::records::{Ending, STEPS, StepRecord, StopReason, read_lines};
use grades_finetune::run::Interrupt;
use grades_finetune::train::{Resume, resume, train_logged};

// Links the policies, so that the configuration can name one.
use grades_policies as _;

use crate::support::Folder;

/// The configuration of a folder, with absolute paths and a checkpoint every fourth step.
fn config(folder: &Folder) -> RunConfig {
    let mut document = Document::read(&folder.path("base.toml")).unwrap();
    for (key, path) in [
        ("model.path", "model"),
        ("data.train", "train.tsv"),
        ("data.eval", "dev.tsv"),
        ("output.folder", "runs"),
    ] {
        document.put(key, folder.path(path).display().to_string()).unwrap();
    }
    document.put("output.quiet", true).unwrap();
    RunConfig::read(document.table()).unwrap()
}

/// Collects the events, and requests the end after a step.
struct Until<'a> {
    step: u64,
    interrupt: &'a Interrupt,
    log: MemoryLogger,
}

impl Logger for Until<'_> {
    fn log(&mut self, event: &Event<'_>) -> Result<()> {
        if let Event::Progress(progress) = event
            && progress.step == self.step
        {
            self.interrupt.request();
        }
        self.log.log(event)
    }
}

#[test]
fn a_run_that_its_caller_interrupts_is_resumed() {
    let folder = Folder::new();
    let config = config(&folder);
    let interrupt = Interrupt::never();
    let mut until = Until { step: 4, interrupt: &interrupt, log: MemoryLogger::default() };
    let outcome = train_logged(&config, "run", &interrupt, &mut until).unwrap();
    let log = until.log;
    assert_eq!(
        (outcome.summary.ended, log.stopped),
        (StopReason::Interrupted, Some(StopReason::Interrupted))
    );
    assert_eq!((outcome.summary.steps.steps, outcome.warnings), (4, Vec::<String>::new()));
    assert_eq!(log.steps.iter().map(|step| step.step).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let written: Vec<StepRecord> = read_lines(&outcome.folder.join(STEPS), Ending::Whole).unwrap();
    assert_eq!(written, log.steps, "the file has the records that the logger received");
    assert_eq!(log.evaluations.len(), 1);
    assert!(log.evaluations[0].is_final && log.warnings.is_empty());
    assert!(log.notes[0].starts_with("24 examples, 2 labels, 6 steps, "), "{:?}", log.notes);

    let how = Resume { folder: &outcome.folder, allow_changes: false };
    let resumed = resume(&config, &how, &Interrupt::never()).unwrap().unwrap();
    assert_eq!((resumed.summary.ended, resumed.summary.steps.steps), (StopReason::AllSteps, 6));
    assert_eq!(resumed.summary.steps.resumes, 1);
    assert!(resume(&config, &how, &Interrupt::never()).unwrap().is_none(), "it has ended");
}
