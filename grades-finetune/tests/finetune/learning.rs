//! Schedules and accumulation, by their numbers.

use approx::assert_abs_diff_eq;
use serde_json::Value;
use tch::{Kind, Tensor};

use crate::support::{Folder, Tiny, examples};
use crate::tolerance::{ADAM_UPDATES, TINY_BERT, assert_number_within};

fn column(folder: &Folder, run: &str, key: &str) -> Vec<f64> {
    let lines = folder.lines(&format!("runs/{run}/steps.jsonl"));
    lines.iter().map(|line: &Value| line[key].as_f64().unwrap()).collect()
}

#[test]
fn the_learning_rate_follows_its_schedule() {
    let folder = Folder::new();
    const STEPS: usize = 10;
    // 0.25 of 10 steps is rounded up to 3 of them.
    let warm = |step: usize| 0.01 * step as f64 / 3.0;
    let rest = |step: usize| (step - 3) as f64 / 7.0;
    let curves: [(&str, &dyn Fn(usize) -> f64); 3] = [
        ("linear", &|step| 0.01 * (1.0 - rest(step))),
        ("cosine", &|step| 0.01 * (1.0 + (std::f64::consts::PI * rest(step)).cos()) / 2.0),
        ("constant", &|_| 0.01),
    ];
    for (name, curve) in curves {
        let schedule = format!("schedule.name={name}");
        let run = ["--name", name, "--lr", "0.01", "--epochs", "9", "--max-steps", "10"];
        folder.trained(&[&run[..], &["--set", &schedule, "--set", "schedule.warmup=0.25"]].concat());
        let found = column(&folder, name, "learning_rate");
        assert_eq!(found.len(), STEPS);
        for (step, found) in found.into_iter().enumerate() {
            let expected = if step < 3 { warm(step) } else { curve(step) };
            assert_abs_diff_eq!(found, expected, epsilon = 1e-15);
        }
    }
}

#[test]
fn every_optimizer_learns() {
    let folder = Folder::with(&Tiny::base().without_dropout());
    for (name, rate) in [("adamw", "0.02"), ("adam", "0.02"), ("sgd", "0.1")] {
        let optimizer = format!("optimizer.name={name}");
        // L2 regularisation in Adam, unlike AdamW's decay, outweighs the small gradients of this model.
        let run = ["--name", name, "--lr", rate, "--epochs", "60", "--no-freezing"];
        let set = ["--set", &optimizer, "--set", "optimizer.weight_decay=0"];
        let ran = folder.trained(&[&run[..], &set].concat());
        let summary = folder.json(&format!("runs/{name}/summary.json"));
        let accuracy = summary["eval_accuracy"].as_f64().unwrap();
        let loss = summary["final_train_loss"].as_f64().unwrap();
        // The word decides; a guess is right half of the time.
        assert!(accuracy > 0.9 && loss < 0.3, "{name}: {}", ran.stdout);
    }
}

#[test]
fn accumulated_batches_are_one_batch() {
    let folder = Folder::with(&Tiny::base().without_dropout());
    // 20 examples are batches of 8, 8 and 4: a mean of the batches' means would be another number.
    folder.write("train.tsv", examples(20));
    let rest = ["--epochs", "4", "--lr", "1e-2", "--set", "data.bucket=1"];
    let small = ["--name", "small", "--batch-size", "8", "--gradient-accumulation-steps", "3"];
    let large = ["--name", "large", "--batch-size", "20"];
    folder.trained(&[&rest[..], &small].concat());
    folder.trained(&[&rest[..], &large].concat());
    assert_eq!(column(&folder, "small", "examples"), [20.0; 4]);
    for key in ["loss", "grad_norm"] {
        let (small, large) = (column(&folder, "small", key), column(&folder, "large", key));
        for (small, large) in small.iter().zip(&large) {
            assert_number_within(*small, *large, TINY_BERT.tolerance(Kind::Float), key);
        }
        assert!(large[0] != large[3], "{key} does not change, so that the comparison says little");
    }
    let weights = |run: &str| {
        let file = folder.path(&format!("runs/{run}/model/model.safetensors"));
        let mut tensors = Tensor::read_safetensors(file).unwrap();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        tensors
    };
    for ((name, small), (_, large)) in weights("small").into_iter().zip(weights("large")) {
        let difference = f64::try_from((small - large).abs().max()).unwrap();
        // Adam divides by the gradients' size: where that is rounding alone, the signs are too.
        let noise = name.ends_with("key.bias") || name.contains("token_type");
        // Four steps with a learning rate of 0.01.
        assert!(noise || difference < ADAM_UPDATES * 4.0 * 0.01, "{name} differs by {difference}");
    }
}

#[test]
fn the_last_step_of_an_epoch_may_be_smaller() {
    let folder = Folder::new();
    folder.trained(&["--batch-size", "5", "--gradient-accumulation-steps", "2"]);
    // 24 examples are batches of 5, 5, 5, 5 and 4 in some order, two to a step.
    let examples = column(&folder, "base", "examples");
    assert_eq!(examples.len(), 6);
    assert_eq!(examples[..3].iter().sum::<f64>(), 24.0);
    assert!(examples[2] <= 5.0 && examples[5] <= 5.0, "{examples:?}");
}

#[test]
fn a_loss_that_is_no_number_ends_the_run() {
    let folder = Folder::new();
    let sets = ["--set", "schedule.warmup=0", "--set", "guard.max_bad_steps=3"];
    let ran = folder.train(&[&["--lr", "1e30"], &sets[..]].concat());
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let error = ran.error();
    assert!(
        error.starts_with("the last 3 steps, up to step 4, had a loss")
            && error.contains("try a lower optimizer.lr"),
        "{error}"
    );
    assert_eq!(ran.stdout, "");
    // What is known stays, the broken model is not saved.
    let steps = folder.lines("runs/base/steps.jsonl");
    assert_eq!(steps.len(), 4);
    assert!(steps[0]["loss"].is_f64() && steps[1]["loss"].is_null(), "{steps:?}");
    assert_eq!(
        folder.names("runs/base"),
        ["checkpoints", "config.toml", "evals.jsonl", "freezes.jsonl", "statistics.jsonl", "steps.jsonl"]
    );
}
