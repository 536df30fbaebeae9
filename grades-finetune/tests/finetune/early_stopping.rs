//! Runs that end by their evaluations.

use grades_finetune::config::{EarlyStoppingConfig, Interval};
use grades_finetune::records::Metric;
use grades_finetune::train::{Patience, Verdict};
use serde_json::{Value, json};

use crate::support::{Folder, Tiny, examples};

/// Every other step is evaluated, and the learning rate neither rises nor falls, so that shorter runs begin alike.
const STEADY: [&str; 10] = [
    "--epochs",
    "4",
    "--lr",
    "0.02",
    "--set",
    "schedule={ name = \"constant\", warmup = 0 }",
    "--eval-every",
    "2",
    "--set",
    "early_stopping.patience=2",
];

/// A training set that contradicts the evaluation set: the longer the model trains, the worse it gets there.
fn folder() -> Folder {
    let folder = Folder::with(&Tiny::base().without_dropout());
    let wrong = examples(8).replace("yes", "?").replace("no\n", "yes\n").replace('?', "no");
    folder.write("dev.tsv", wrong);
    folder
}

fn evals(folder: &Folder, run: &str) -> Vec<Value> {
    folder.lines(&format!("runs/{run}/evals.jsonl"))
}

fn steps(evals: &[Value]) -> Vec<(u64, bool)> {
    evals.iter().map(|line| (line["step"].as_u64().unwrap(), line["final"].as_bool().unwrap())).collect()
}

#[test]
fn patience_counts_evaluations_that_are_not_better() {
    // Metric, patience, min_delta, values; at which of them the run ends, and which is the best, from 1.
    type Case = (Metric, u64, f64, &'static [f64], Option<usize>, u64);
    const NAN: f64 = f64::NAN;
    let cases: [Case; 11] = [
        (Metric::Loss, 1, 0.0, &[3.0, 2.0, 1.0], None, 3),
        (Metric::Loss, 1, 0.0, &[3.0, 3.0], Some(2), 1),
        (Metric::Loss, 2, 0.0, &[3.0, 4.0, 2.0, 2.5, 2.2], Some(5), 3),
        (Metric::Accuracy, 2, 0.0, &[0.5, 0.4, 0.6, 0.6, 0.6], Some(5), 3),
        (Metric::Accuracy, 2, 0.0, &[0.5, 0.6, 0.55, 0.65, 0.6], None, 4),
        // Too little better counts as no better, but such weights are the best all the same.
        (Metric::Loss, 2, 0.1, &[1.0, 0.95, 0.92], Some(3), 3),
        // Small steps add up until they count: 1.0 to 0.88.
        (Metric::Loss, 3, 0.1, &[1.0, 0.96, 0.92, 0.88, 0.85, 0.84], None, 6),
        (Metric::Accuracy, 2, 0.0625, &[0.5, 0.5625, 0.52], Some(3), 2),
        (Metric::Loss, 2, 0.0, &[NAN, NAN], Some(2), 0),
        (Metric::Loss, 2, 0.0, &[NAN, 1.0, NAN, 0.5], None, 4),
        (Metric::Loss, 2, 0.0, &[f64::INFINITY, 1.0], None, 2),
    ];
    for (metric, patience, min_delta, values, end, best) in cases {
        let config = EarlyStoppingConfig { metric, patience, min_delta, restore_best: true };
        let mut patience = Patience::new(config);
        let verdicts: Vec<Verdict> =
            (1..).zip(values).map(|(step, value)| patience.add(step, *value)).collect();
        let ended = verdicts.iter().position(|verdict| verdict.stop).map(|at| at + 1);
        assert_eq!(ended, end, "{config:?} {values:?}");
        assert_eq!(patience.best_step().unwrap_or(0), best, "{config:?} {values:?}");
        let last_best = verdicts.iter().rposition(|verdict| verdict.is_best).map_or(0, |at| at as u64 + 1);
        assert_eq!(last_best, best);
    }
}

#[test]
fn intervals_are_steps_or_shares_of_an_epoch() {
    let cases = [
        (Interval::Never, 10, None),
        (Interval::Steps(3), 10, Some(3)),
        (Interval::EpochShare(0.1), 217, Some(22)),
        (Interval::EpochShare(0.5), 7, Some(4)),
        (Interval::EpochShare(1.0), 7, Some(7)),
        (Interval::EpochShare(0.001), 7, Some(1)),
    ];
    for (interval, epoch, steps) in cases {
        assert_eq!(interval.steps(epoch), steps, "{interval:?}");
    }
}

#[test]
fn a_run_ends_with_the_weights_of_its_best_evaluation_bit_for_bit() {
    let folder = folder();
    folder.trained(&[&STEADY[..], &["--name", "stopped"]].concat());
    let summary = folder.json("runs/stopped/summary.json");
    let best = summary["best_step"].as_u64().unwrap();
    assert_eq!((&summary["ended"], &summary["steps"]), (&json!("early-stopped"), &json!(best + 4)));
    assert_eq!(summary["restored_step"], best);
    let lines = evals(&folder, "stopped");
    let all: Vec<(u64, bool)> =
        (2..=best + 4).step_by(2).map(|step| (step, false)).chain([(best + 4, true)]).collect();
    assert_eq!(steps(&lines), all);
    assert_eq!(summary["validations"], all.len() - 1);
    let last_best = lines.iter().rfind(|line| line["best"] == true).unwrap();
    assert_eq!(last_best["step"], best);
    let last = lines.last().unwrap();
    assert!(last["best"].is_null());
    assert_eq!(last["loss"], last_best["loss"], "what is evaluated at the end are the best weights");
    assert_eq!(summary["eval_loss"], last_best["loss"]);
    assert!(lines[lines.len() - 2]["loss"].as_f64() > last["loss"].as_f64());

    // A run that merely ends at the best step.
    let best = best.to_string();
    let short = ["--name", "short", "--max-steps", &best, "--set", "early_stopping.patience=9"];
    folder.trained(&[&STEADY[..], &short].concat());
    assert_eq!(folder.json("runs/short/summary.json")["ended"], "all-steps");
    assert!(folder.json("runs/short/summary.json")["restored_step"].is_null());
    let model = |run: &str| folder.bytes(&format!("runs/{run}/model/model.safetensors"));
    assert_eq!(model("stopped"), model("short"));

    // Without restoring, the last ones.
    let last = ["--name", "last", "--set", "early_stopping.restore_best=false"];
    folder.trained(&[&STEADY[..], &last].concat());
    assert_eq!(folder.json("runs/last/summary.json")["steps"], summary["steps"]);
    assert_ne!(model("last"), model("stopped"));
    let lines = evals(&folder, "last");
    assert_eq!(lines[lines.len() - 1]["loss"], lines[lines.len() - 2]["loss"]);
}

#[test]
fn what_froze_after_the_best_evaluation_is_put_back_too() {
    let folder = folder();
    // Attention freezes at step 5, after the best evaluation.
    let freezing = [
        "--set",
        r#"freezing={ grace = 0.3, policy = { name = "per-component-type", default = { name = "fixed-threshold", tau = 1e-9 }, attention = { name = "fixed-threshold", tau = 1e9 } } }"#,
    ];
    let run = |name: &str, more: &[&str]| {
        folder.trained(&[&STEADY[..], &freezing, &["--name", name], more].concat());
        folder.json(&format!("runs/{name}/summary.json"))
    };
    let stopped = run("stopped", &[]);
    let best = stopped["restored_step"].as_u64().unwrap();
    assert_eq!(stopped["ended"], "early-stopped");
    assert!(stopped["first_freeze"] == 5 && best < 5 && stopped["components_frozen"] == 8, "{stopped}");
    let flops = ["flops", "flops_without_freezing"].map(|key| stopped[key].as_f64().unwrap());
    assert!(flops[0] < flops[1], "steps after the freeze take less: {flops:?}");
    let best = best.to_string();
    run("short", &["--max-steps", &best, "--set", "freezing.grace=1"]);
    let model = |run: &str| folder.bytes(&format!("runs/{run}/model/model.safetensors"));
    assert_eq!(model("stopped"), model("short"));
}

#[test]
fn adapters_that_were_merged_after_the_best_evaluation_are_put_back_too() {
    let folder = folder();
    for (name, dora) in [("lora", "false"), ("dora", "true")] {
        let dora = format!("lora.use_dora={dora}");
        let own = ["--lora", "--lora-rank", "2", "--merge-frozen", "--set", &dora, "--name", name];
        let freezing =
            ["--set", "freezing={ grace = 0.3, policy = { name = \"fixed-threshold\", tau = 1e9 } }"];
        folder.trained(&[&STEADY[..], &own, &freezing].concat());
        let summary = folder.json(&format!("runs/{name}/summary.json"));
        // All is frozen at step 5, and evaluated once more.
        assert_eq!((&summary["ended"], &summary["steps"]), (&json!("all-frozen"), &json!(5)), "{name}");
        let lines = evals(&folder, name);
        assert_eq!(steps(&lines), [(2, false), (4, false), (5, false), (5, true)], "{name}");
        let best = lines.iter().find(|line| line["step"] == summary["restored_step"]).unwrap();
        assert_ne!(lines[2]["loss"], best["loss"], "{name}");
        assert_eq!(lines[3]["loss"], best["loss"], "{name}");
    }
}

#[test]
fn averages_are_judged_like_any_weights_and_do_not_come_over_the_best_ones() {
    let folder = folder();
    // All cools from step 4 on, by averaging, for as long as went before: it freezes at step 8, or does not come to it.
    let freezing = [
        "--set",
        r#"freezing={ cooling = "average", policy = { name = "signal-fraction", floor = 1, window = 3, hits = 1 } }"#,
    ];
    for (name, patience, steps) in [("stopped", "1", None), ("frozen", "9", Some(8)), ("cut", "9", Some(6))] {
        let patience = format!("early_stopping.patience={patience}");
        let max_steps = if name == "cut" { "6" } else { "12" };
        let own = ["--set", &patience, "--name", name, "--max-steps", max_steps];
        folder.trained(&[&STEADY[..], &freezing, &own].concat());
        let summary = folder.json(&format!("runs/{name}/summary.json"));
        if let Some(steps) = steps {
            assert_eq!(summary["steps"], steps, "{name}: {summary}");
        }
        let lines = evals(&folder, name);
        let best = lines.iter().find(|line| line["step"] == summary["best_step"]).unwrap();
        let last = lines.last().unwrap();
        assert_eq!((&last["final"], &last["loss"]), (&json!(true), &best["loss"]), "{name}");
    }
}

#[test]
fn evaluations_come_ten_times_an_epoch_and_change_nothing() {
    let folder = Folder::new();
    folder.trained(&["--name", "plain"]);
    folder.trained(&["--name", "watched", "--early-stopping", "--set", "early_stopping.patience=99"]);
    // Three steps an epoch: every one; and of the last step's weights, which early stopping has to judge, too.
    let all: Vec<(u64, bool)> = (1..=6).map(|step| (step, false)).chain([(6, true)]).collect();
    assert_eq!(steps(&evals(&folder, "watched")), all);
    assert_eq!(steps(&evals(&folder, "plain")), [(6, true)]);
    let losses = |run: &str| -> Vec<Value> {
        folder.lines(&format!("runs/{run}/steps.jsonl")).iter().map(|line| line["loss"].clone()).collect()
    };
    assert_eq!(losses("plain"), losses("watched"));
    let summary = folder.json("runs/watched/summary.json");
    let seconds = |key: &str| summary[key].as_f64().unwrap();
    assert!(seconds("validation_seconds") > 0.0 && seconds("eval_seconds") > seconds("validation_seconds"));
    assert!(seconds("wall_seconds") > seconds("eval_seconds") + seconds("train_seconds"));
    // Six evaluations between steps, of the same sentences, and the final one.
    let lines = evals(&folder, "watched");
    let each = lines[0]["eval_flops"].as_f64().unwrap();
    assert!(each > 0.0 && lines.iter().all(|line| line["eval_flops"] == each));
    let sums: Vec<f64> = lines.iter().map(|line| line["validation_flops"].as_f64().unwrap() / each).collect();
    assert_eq!(sums, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 6.0]);
    assert_eq!(seconds("validation_flops"), 6.0 * each);
    // Whoever stops early pays for them, whoever does not has none to pay for.
    assert_eq!(seconds("cost_flops"), seconds("flops") + 6.0 * each);
    let cost = seconds("wall_seconds") - seconds("eval_seconds") + seconds("validation_seconds");
    assert!((seconds("cost_seconds") - cost).abs() < 1e-9);
    let plain = folder.json("runs/plain/summary.json");
    assert_eq!(plain["cost_flops"], plain["flops"]);
    let config = folder.toml("runs/watched/config.toml");
    assert_eq!(config["training"]["eval_every"].as_float(), Some(0.1));
    assert_eq!(config["early_stopping"]["metric"].as_str(), Some("loss"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = Folder::new();
    let cases = [
        (
            &["--early-stopping", "--set", "data={ train = \"train.tsv\" }"][..],
            "early_stopping: needs examples for evaluation: give data.eval as well",
        ),
        (
            &["--early-stopping", "--eval-every", "0"],
            "training.eval_every: is 0, so nothing is evaluated in time",
        ),
        (
            &["--set", "early_stopping.patience=0"],
            "early_stopping.patience: expected a whole number, at least 1, found 0",
        ),
        (
            &["--set", "early_stopping.metric=los"],
            "early_stopping.metric: unknown metric \"los\" (did you mean \"loss\"?); known: loss, accuracy",
        ),
        (
            &["--set", "early_stopping.min_delta=-1"],
            "early_stopping.min_delta: expected a number of at least 0, found -1",
        ),
        (
            &["--set", "early_stopping.patiense=3"],
            "early_stopping.patiense: unknown key (did you mean \"patience\"?)",
        ),
        (
            &["--eval-every", "1.5"],
            "training.eval_every: expected a whole number of steps, 0 for never, or a share of an epoch",
        ),
        (
            &["--set", "training.step_fraction=0"],
            "training.step_fraction: expected a share above 0, up to 1, found 0",
        ),
    ];
    for (arguments, message) in cases {
        let error = folder.refused(arguments);
        assert!(error.contains(message), "{arguments:?}: {error}");
    }
}
