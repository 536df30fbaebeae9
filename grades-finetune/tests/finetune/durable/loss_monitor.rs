//! Losses and gradients that are not finite.

use grades_finetune::records::SkipReason;

use crate::durable::broken::{Result, broken_off, resumed};
use crate::support::{Folder, Tiny};

/// A base in which one word has an infinite vector, so that sentences with it have no loss.
fn poisoned() -> Folder {
    let mut tiny = Tiny::base();
    let (_, values) = tiny.tensors.get_mut("embeddings.word_embeddings.weight").unwrap();
    // The id of "book"; a row has 8 numbers.
    values[9 * 8] = f32::INFINITY;
    Folder::with(&tiny)
}

/// Only adapters train, so the infinite vector does not change.
const STEPS: [&str; 6] = ["--lora", "--batch-size", "1", "--epochs", "1", "--set"];

#[test]
fn a_bad_step_is_skipped_and_counted() {
    let folder = poisoned();
    let arguments = [&["--save-every", "5", "--keep", "9"], &STEPS[..], &["data.bucket=1"]].concat();
    let ran = folder.train(&[&["--name", "whole"], &arguments[..]].concat());
    let (steps, summary) = (folder.files("whole").steps(), folder.files("whole").summary());
    let bad: Vec<u64> =
        steps.iter().filter(|step| step.skipped == Some(SkipReason::Loss)).map(|step| step.step).collect();
    // Every fifth sentence has the word.
    assert_eq!((steps.len(), summary.steps.bad_steps), (24, bad.len() as u64));
    assert!((4..=5).contains(&bad.len()), "{bad:?}");
    for step in &steps {
        assert_eq!(step.loss.is_nan(), step.skipped == Some(SkipReason::Loss), "{step:?}");
    }
    let ends_badly = bad.contains(&24);
    assert_eq!(ran.code, Some(i32::from(ends_badly)), "{ran:?}");
    assert!(summary.final_train_loss.is_some());

    broken_off(&folder, "whole", 10, "run");
    if !ends_badly {
        resumed(&folder, "run");
        Result::of(&folder, "run").assert_same(&Result::of(&folder, "whole"), "bad steps");
    }
}

#[test]
fn a_skipped_step_changes_no_weight() {
    // Every sentence has the word: nothing is ever applied.
    let folder = poisoned();
    folder.write("train.tsv", "very good book\tyes\nvery bad book\tno\n".repeat(3));
    folder.write("dev.tsv", "very good\tyes\nvery bad\tno\n");
    let ran = folder.train(&STEPS.iter().chain(&["guard.max_bad_steps=100"]).copied().collect::<Vec<_>>());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr.contains("warning: the last 6 steps had a loss or gradients that are not finite"),
        "{ran:?}"
    );
    let bytes = folder.bytes("runs/base/adapter/adapter_model.safetensors");
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut seen = 0;
    for (name, tensor) in file.tensors().into_iter().filter(|(name, _)| name.contains("lora_B")) {
        assert!(tensor.data().iter().all(|byte| *byte == 0), "{name} begins at zero and stays there");
        seen += 1;
    }
    assert!(seen > 5);
}

#[test]
fn too_many_in_a_row_end_the_run_with_a_checkpoint() {
    let folder = poisoned();
    folder.write("train.tsv", "very good book\tyes\nvery bad book\tno\n".repeat(12));
    let ran = folder.train(&STEPS.iter().chain(&["guard.max_bad_steps=4"]).copied().collect::<Vec<_>>());
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""), "{ran:?}");
    assert_eq!(
        ran.error(),
        "the last 4 steps, up to step 4, had a loss or gradients that are not finite, and were skipped \
         (guard.max_bad_steps = 4); try a lower optimizer.lr or training.clip_norm. The newest whole checkpoint is \
         runs/base/checkpoints/step-00000004"
    );
    assert_eq!(folder.files("base").steps().len(), 4);
    assert!(!folder.path("runs/base/summary.json").exists() && !folder.path("runs/base/adapter").exists());
    // It may be resumed, and tries as often again.
    let ran = folder.finetune(&["train", "--resume", "runs/base"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.error().contains("up to step 8"), "{}", ran.error());
}

/// A base whose hidden states are all zero: the loss is that of the classifier's bias, and every norm multiplies the
/// gradient that comes to it by 1 ÷ √ε, until it is infinite.
fn exploding() -> Folder {
    let mut tiny = Tiny::base();
    tiny.config["layer_norm_eps"] = serde_json::json!(1e-37);
    for (name, (_, values)) in &mut tiny.tensors {
        if name.contains("embeddings.weight") || name.ends_with(".bias") {
            values.fill(0.0);
        }
    }
    Folder::with(&tiny)
}

#[test]
fn gradients_that_are_not_finite_are_skipped_whatever_the_loss() {
    let folder = exploding();
    for (name, more) in [
        ("clipped", ["training.clip_norm=1", "guard.check_gradients=false"]),
        ("checked", ["training.clip_norm=0", "guard.check_gradients=true"]),
    ] {
        let set = ["guard.max_bad_steps=99", more[0], more[1]].map(|key| ["--set", key]).concat();
        let ran = folder.train(&[&["--name", name], &set[..]].concat());
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let steps = folder.files(name).steps();
        assert_eq!(steps.len(), 6);
        for step in &steps {
            assert!(step.skipped == Some(SkipReason::Gradients) && step.loss.is_finite(), "{step:?}");
        }
        assert_eq!(folder.files(name).summary().steps.bad_steps, 6, "{name}");
        // No update was applied, so the weights are those of the files.
        let [before, after] = ["model", &format!("runs/{name}/model")].map(|dir| {
            let bytes = folder.bytes(&format!("{dir}/model.safetensors"));
            let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            let layers = file.tensors().into_iter().filter(|(name, _)| name.contains("encoder.layer."));
            layers
                .map(|(name, tensor)| (name.replace("bert.", ""), tensor.data().to_vec()))
                .collect::<std::collections::BTreeMap<_, _>>()
        });
        assert_eq!(before.len(), 32);
        assert!(before == after, "{name}: a weight was changed");
    }
    // Without a check the weights are lost; the next loss shows it.
    let run = folder.run_until(None, &["guard.max_bad_steps=99", "training.clip_norm=0"]);
    let steps = run.files.steps();
    assert!(steps[0].skipped.is_none() && steps[1].skipped == Some(SkipReason::Loss), "{steps:?}");
}

#[test]
fn weights_that_are_no_numbers_do_not_take_the_place_of_a_checkpoint() {
    let folder = Folder::new();
    // Without a norm only the loss shows it, and that of step 1 is still finite.
    let arguments =
        ["--lr", "1e39", "--set", "schedule.warmup=0", "--set", "training.clip_norm=0", "--epochs", "9"];
    let ran = folder.train(
        &[&arguments[..], &["--set", "optimizer.name=sgd", "--set", "guard.max_bad_steps=3"]].concat(),
    );
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stderr.contains("holds a number that is not finite"), "{}", ran.stderr);
    assert!(ran.error().ends_with("There is no whole checkpoint"), "{}", ran.error());
    assert!(folder.names("runs/base/checkpoints").is_empty());
}

#[test]
fn a_loss_out_of_line_is_reported() {
    let folder = Folder::new();
    let arguments = ["--epochs", "60", "--lr", "0.3", "--set", "guard.spike_factor=1.2", "--batch-size", "2"];
    let ran = folder.trained(&arguments);
    let lines = ran.stderr.lines().filter(|line| line.starts_with("warning: the loss of step ")).count();
    assert!(lines > 0, "{}", ran.stderr);
    assert_eq!(folder.files("base").summary().steps.loss_spikes, lines as u64);
    let none = folder.run(&["training.epochs=60", "optimizer.lr=0.3", "guard.spike_factor=0"]);
    assert!(
        none.log.warnings.iter().all(|warning| !warning.starts_with("the loss")),
        "{:?}",
        none.log.warnings
    );
}
