//! A run inside another process: its events, and an end that the caller requests.

use grades_finetune::records::StopReason;

use crate::support::{Folder, Run};

#[test]
fn a_run_that_its_caller_interrupts_is_resumed() {
    let folder = Folder::new();
    let run = folder.run_until(4, &[]);
    let log = run.log;
    assert_eq!((run.summary.ended, log.stopped), (StopReason::Interrupted, Some(StopReason::Interrupted)));
    assert_eq!((run.summary.steps.steps, run.warnings), (4, Vec::<String>::new()));
    assert_eq!(log.steps.iter().map(|step| step.step).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(run.files.steps(), log.steps, "the file has the records that the logger received");
    assert_eq!(log.evaluations.len(), 1);
    assert!(log.evaluations[0].is_final && log.warnings.is_empty());
    assert!(log.notes[0].starts_with("24 examples, 2 labels, 6 steps, "), "{:?}", log.notes);

    let resumed = Run::resume(&folder, &run.files, &[]).unwrap().unwrap();
    assert_eq!((resumed.summary.ended, resumed.summary.steps.steps), (StopReason::AllSteps, 6));
    assert_eq!(resumed.summary.steps.resumes, 1);
    assert!(Run::resume(&folder, &run.files, &[]).unwrap().is_none(), "it has ended");
}
