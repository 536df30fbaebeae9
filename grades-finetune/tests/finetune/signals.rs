//! Ctrl-C, and SIGTERM from whoever ends processes.

use std::time::Duration;

use grades_finetune::records::StopReason;

use crate::support::Folder;

/// Far more epochs than anyone waits for.
const LONG: [&str; 2] = ["--epochs", "1000000"];

/// Asserts that a run ends well after a signal.
fn ends_well(signal: &str) {
    let folder = Folder::new();
    let run = folder.start(&LONG);
    run.send(signal);
    let (code, shown) = run.end();
    assert_eq!(code, Some(130), "{shown}");
    assert!(shown.contains("interrupted: saving what is trained so far"), "{shown}");

    let files = folder.files("base");
    let (summary, steps) = (files.summary(), files.steps());
    assert_eq!(summary.ended, StopReason::Interrupted);
    assert_eq!(summary.steps.steps, steps.len() as u64);
    assert!(steps.len() < 100_000 && summary.steps.planned_steps == 3_000_000);
    assert!(summary.eval.loss.is_some() && summary.final_train_loss.is_some(), "{summary:?}");
    assert_eq!(
        folder.names("runs/base/model"),
        ["README.md", "config.json", "model.safetensors", "tokenizer.json"],
        "the model is saved"
    );
}

#[test]
fn ctrl_c_ends_after_the_step_in_hand() {
    ends_well("-INT");
}

#[test]
fn sigterm_ends_after_the_step_in_hand() {
    ends_well("-TERM");
}

#[test]
fn a_second_signal_ends_at_once() {
    let folder = Folder::new();
    // An evaluation that takes seconds comes between the first step and the second.
    folder.write("dev.tsv", crate::support::examples(10_000));
    let slow = ["--eval-every", "1", "--set", "training.eval_batch_size=1"];
    let run = folder.start(&[&LONG[..], &slow].concat());
    run.send("-INT");
    std::thread::sleep(Duration::from_millis(100));
    run.send("-INT");
    let (code, shown) = run.end();
    assert_eq!(code, Some(130), "{shown}");
    assert!(!folder.path("runs/base/summary.json").exists());
    assert_eq!(folder.files("base").steps().len(), 1, "the lines so far are there");
}
