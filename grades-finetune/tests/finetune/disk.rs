//! A disk that is full, played by a limit on the size of files.

use grades_finetune::records::{StepRecord, StopReason};

use crate::support::Folder;

#[test]
fn a_model_that_does_not_fit_leaves_no_half_of_it() {
    let folder = Folder::new();
    let ran = folder.limited(4, &["train", "--config", "base.toml", "--set", "freezing.policy.tau=1e9"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(
        ran.error(),
        "saving the model in runs/base/model: cannot write runs/base/model/model.safetensors: File too large \
         (os error 27)"
    );
    assert!(folder.names("runs/base/model").is_empty(), "{:?}", folder.names("runs/base/model"));
    assert_eq!(
        folder.names("runs/base"),
        ["config.toml", "evals.jsonl", "freezes.jsonl", "model", "statistics.jsonl", "steps.jsonl"]
    );
    assert_eq!(folder.files("base").steps().len(), 2);
    assert_eq!(folder.files("base").freezes().len(), 12);
}

#[test]
fn logs_that_do_not_fit_are_told_of_and_the_model_is_saved() {
    let folder = Folder::new();
    let ran = folder.limited(16, &["train", "--config", "base.toml", "--epochs", "60", "--no-report"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let first = "warning: statistics.jsonl cannot be written: File too large (os error 27); its lines wait\n";
    assert!(ran.stderr.contains(first), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("its lines wait").count(), 2, "each log is told of once: {}", ran.stderr);
    let expected = "warning: steps.jsonl is incomplete: File too large (os error 27)\n";
    assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    let summary = folder.files("base").summary();
    assert_eq!((summary.ended, summary.steps.steps), (StopReason::AllSteps, 180));
    assert!(folder.path("runs/base/model/model.safetensors").exists());
    // All lines but the last are whole.
    let text = folder.text("runs/base/steps.jsonl");
    let whole: Vec<&str> = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
    assert!(whole.len() > 20 && whole.len() < 180, "{} lines", whole.len());
    for (step, line) in (1..).zip(whole) {
        assert_eq!(serde_json::from_str::<StepRecord>(line).unwrap().step, step);
    }
}

#[test]
fn events_for_tensorboard_that_do_not_fit_wait() {
    let folder = Folder::new();
    let arguments = ["train", "--config", "base.toml", "--epochs", "20", "--no-report", "--tensorboard"];
    let ran = folder.limited(16, &arguments);
    let first = "warning: the files for TensorBoard cannot be written: File too large (os error 27); their events wait\n";
    assert_eq!(ran.stderr.matches(first).count(), 1, "{}", ran.stderr);
    let last = "warning: the files for TensorBoard are incomplete: File too large (os error 27)\n";
    assert!(ran.stderr.contains(last), "{}", ran.stderr);
    assert_eq!(folder.files("base").summary().steps.steps, 60);
}
