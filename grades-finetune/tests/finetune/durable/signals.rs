//! SIGINT and SIGTERM: the current step ends and a checkpoint is written.

use grades_finetune::records::StopReason;

use crate::durable::broken::{Result, checkpoints, resumed};
use crate::support::Folder;

/// A run that lasts for a second or so.
const LONG: [&str; 4] = ["--epochs", "80", "--set", "training.eval_every=0"];

#[test]
fn a_run_that_a_signal_ended_goes_on_as_if_there_had_been_none() {
    let folder = Folder::new();
    folder.run(&["output.name=whole", "training.epochs=80", "training.eval_every=0"]);
    let whole = Result::of(&folder, "whole");
    for signal in ["-INT", "-TERM"] {
        let name = signal.trim_start_matches('-').to_lowercase();
        let running = folder.start(&[&LONG[..], &["--name", &name]].concat());
        running.send(signal);
        let (code, shown) = running.end();
        assert_eq!(code, Some(130), "{shown}");
        let summary = folder.files(&name).summary();
        let steps = summary.steps.steps;
        assert_eq!((summary.ended, checkpoints(&folder, &name)), (StopReason::Interrupted, vec![steps]));
        assert!(steps < 240, "the run has ended by itself");
        resumed(&folder, &name);
        Result::of(&folder, &name).assert_same(&whole, signal);
    }
}

#[test]
fn an_evaluation_that_was_due_at_the_signal_is_made_up_for() {
    let folder = Folder::new();
    // One at every step: whenever the signal comes, one is due.
    let arguments = [
        "--epochs",
        "80",
        "--set",
        "training.eval_every=1",
        "--early-stopping",
        "--set",
        "early_stopping.patience=200",
    ];
    let whole =
        ["output.name=whole", "training.epochs=80", "training.eval_every=1", "early_stopping.patience=200"];
    folder.run(&whole);
    let whole = Result::of(&folder, "whole");
    let running = folder.start(&[&arguments[..], &["--name", "run"]].concat());
    running.send("-TERM");
    assert_eq!(running.end().0, Some(130));
    let steps = folder.files("run").summary().steps.steps;
    assert!(steps < 240, "the run has ended by itself");
    resumed(&folder, "run");
    Result::of(&folder, "run").assert_same(&whole, &format!("a signal at step {steps}"));
}

#[test]
fn a_second_signal_damages_nothing() {
    let folder = Folder::new();
    let arguments = [&LONG[..], &["--save-every", "1"]].concat();
    let whole = ["output.name=whole", "training.epochs=80", "training.eval_every=0", "checkpoint.every=1"];
    folder.run(&whole);
    let running = folder.start(&[&arguments[..], &["--name", "run"]].concat());
    for _ in 0..2 {
        running.send("-TERM");
    }
    let (code, shown) = running.end();
    assert_eq!(code, Some(130), "{shown}");
    resumed(&folder, "run");
    Result::of(&folder, "run").assert_same(&Result::of(&folder, "whole"), "two signals");
}

#[test]
fn a_run_that_another_process_is_at_is_left_alone() {
    let folder = Folder::new();
    let running = folder.start(&["--epochs", "1000000", "--name", "run"]);
    let ran = folder.finetune(&["train", "--resume", "runs/run"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.error(), "another process is at the run runs/run; it must end first");
    running.send("-INT");
    assert_eq!(running.end().0, Some(130));
    let files = folder.files("run");
    assert_eq!(files.summary().steps.steps, files.steps().len() as u64);
}
