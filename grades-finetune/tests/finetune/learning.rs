//! Schedules and accumulation, by their numbers.

use grades_finetune::records::StepRecord;
use tch::{Kind, Tensor};

use crate::support::{Folder, Run, Tiny, examples};
use crate::tolerance::{ADAM_UPDATES, FORMULA, TINY_BERT, assert_number_within};

/// A number of each step.
fn column(run: &Run, number: fn(&StepRecord) -> f64) -> Vec<f64> {
    run.files.steps().iter().map(number).collect()
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
        let run = folder.run(&[
            "optimizer.lr=0.01",
            "training.epochs=9",
            "training.max_steps=10",
            "schedule.warmup=0.25",
            &format!("schedule.name={name}"),
        ]);
        let found = column(&run, |step| step.learning_rate);
        assert_eq!(found.len(), STEPS);
        for (step, found) in found.into_iter().enumerate() {
            let expected = if step < 3 { warm(step) } else { curve(step) };
            let error = (found - expected).abs();
            assert!(error <= FORMULA * 0.01, "{name}, step {step}: {found} is not {expected}");
        }
    }
}

#[test]
fn every_optimizer_learns() {
    let folder = Folder::with(&Tiny::base().without_dropout());
    folder.set_freezing("");
    for (name, rate) in [("adamw", "0.02"), ("adam", "0.02"), ("sgd", "0.1")] {
        // L2 regularisation in Adam, unlike AdamW's decay, outweighs the small gradients of this model.
        let run = folder.run(&[
            &format!("optimizer.name={name}"),
            &format!("optimizer.lr={rate}"),
            "optimizer.weight_decay=0",
            "training.epochs=60",
        ]);
        let summary = run.summary;
        // The word decides; a guess is right half of the time.
        assert!(summary.eval.accuracy.unwrap() > 0.9, "{name}: {summary:?}");
        assert!(summary.final_train_loss.unwrap() < 0.3, "{name}: {summary:?}");
    }
}

#[test]
fn accumulated_batches_are_one_batch() {
    let folder = Folder::with(&Tiny::base().without_dropout());
    // 20 examples are batches of 8, 8 and 4: a mean of the batches' means would be another number.
    folder.write("train.tsv", examples(20));
    let run = |own: &[&str]| {
        let rest = ["training.epochs=4", "optimizer.lr=1e-2", "data.bucket=1"];
        folder.run(&[&rest[..], own].concat())
    };
    let small = run(&["training.batch_size=8", "training.gradient_accumulation_steps=3"]);
    let large = run(&["training.batch_size=20"]);
    assert_eq!(column(&small, |step| step.work.examples as f64), [20.0; 4]);
    type Number = fn(&StepRecord) -> f64;
    let numbers: [(&str, Number); 2] =
        [("loss", |step| step.loss), ("grad_norm", |step| step.grad_norm.unwrap())];
    for (name, number) in numbers {
        let (small, large) = (column(&small, number), column(&large, number));
        for (small, large) in small.iter().zip(&large) {
            assert_number_within(*small, *large, TINY_BERT.tolerance(Kind::Float), name);
        }
        assert!(large[0] != large[3], "{name} does not change, so that the comparison says little");
    }
    let weights = |run: &Run| {
        let file = run.files.path.join("model/model.safetensors");
        let mut tensors = Tensor::read_safetensors(file).unwrap();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        tensors
    };
    for ((name, small), (_, large)) in weights(&small).into_iter().zip(weights(&large)) {
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
    let run = folder.run(&["training.batch_size=5", "training.gradient_accumulation_steps=2"]);
    // 24 examples are batches of 5, 5, 5, 5 and 4 in some order, two to a step.
    let examples = column(&run, |step| step.work.examples as f64);
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
    let steps = folder.files("base").steps();
    assert_eq!(steps.len(), 4);
    assert!(steps[0].loss.is_finite() && steps[1].loss.is_nan(), "{steps:?}");
    assert_eq!(
        folder.names("runs/base"),
        ["checkpoints", "config.toml", "evals.jsonl", "freezes.jsonl", "statistics.jsonl", "steps.jsonl"]
    );
}
