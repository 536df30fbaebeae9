//! Runs whose components cool before they freeze, and policies that read accumulated batches.

use grades_finetune::config::{Document, RunConfig, ScheduleName};
use grades_policies as _;
use serde_json::{Value, json};

use crate::support::{CONFIG, Folder};

/// Freezes at the first check at which it has an answer: the fourth, as one step alone tells nothing.
const AT_ONCE: &str = r#"freezing.policy={ name = "signal-fraction", floor = 1, window = 3, hits = 1 }"#;

/// The numbers under a key of every line of `steps.jsonl`.
fn column(folder: &Folder, run: &str, key: &str) -> Vec<f64> {
    let lines = folder.lines(&format!("runs/{run}/steps.jsonl"));
    lines.iter().map(|line| line[key].as_f64().unwrap_or_else(|| panic!("{key} in {line}"))).collect()
}

/// The events of a run: what happened, and at which step.
fn events(folder: &Folder, run: &str) -> Vec<(String, u64)> {
    let lines = folder.lines(&format!("runs/{run}/freezes.jsonl"));
    lines
        .iter()
        .map(|line| (line["event"].as_str().unwrap().to_owned(), line["step"].as_u64().unwrap()))
        .collect()
}

fn schedule(folder: &Folder, run: &str) -> String {
    let config = folder.toml(&format!("runs/{run}/config.toml"));
    config["schedule"]["name"].as_str().unwrap().to_owned()
}

/// The base configuration with this in the place of its policy.
fn folder_with(freezing: &str) -> Folder {
    let folder = Folder::new();
    let (rest, _) = CONFIG.split_once("[freezing.policy]").unwrap();
    folder.write("base.toml", format!("{rest}{freezing}"));
    folder
}

#[test]
fn an_empty_freezing_table_cools_and_keeps_the_learning_rate_until_all_is_frozen() {
    let folder = folder_with("[freezing]\n");
    folder.trained(&["--epochs", "16", "--lr", "0.01"]);
    assert_eq!(schedule(&folder, "base"), "until-frozen");
    let summary = folder.json("runs/base/summary.json");
    // Components that find no end of their own begin to cool halfway, with as many steps left as went before.
    assert_eq!((&summary["planned_steps"], &summary["ended"]), (&json!(48), &json!("all-frozen")));
    assert_eq!(summary["components_frozen"], 12);
    assert!(summary["last_freeze"].as_u64().unwrap() <= 48, "{summary}");
    let rates = column(&folder, "base", "learning_rate");
    assert!(rates[3..].iter().all(|rate| *rate == 0.01), "{rates:?}");
}

#[test]
fn components_cool_for_as_long_as_they_have_trained_and_then_freeze() {
    let folder = Folder::new();
    let ran = folder.trained(&["--epochs", "4", "--set", AT_ONCE]);
    let expected: Vec<_> = [("cool", 4), ("freeze", 8)]
        .into_iter()
        .flat_map(|(event, step)| vec![(event.to_owned(), step); 12])
        .collect();
    assert_eq!(events(&folder, "base"), expected);
    assert_eq!(column(&folder, "base", "cooling"), [0.0, 0.0, 0.0, 12.0, 12.0, 12.0, 12.0, 0.0]);
    assert_eq!(column(&folder, "base", "frozen"), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 12.0]);
    for line in ["step 4: cooling bert.encoder.layer.0", "step 8: froze bert.encoder.layer.0", "and 9 more"] {
        assert!(ran.stderr.contains(line), "{line}: {}", ran.stderr);
    }
    let lines = folder.lines("runs/base/freezes.jsonl");
    let cause = |line: &Value| json!([line["component"], line["policy"], line["statistic"], line["value"]]);
    assert_eq!(cause(&lines[0]), cause(&lines[12]), "a freeze has the cause of its cooling");
    assert_eq!(
        (&lines[0]["policy"], &lines[0]["statistic"]),
        (&json!("signal-fraction"), &json!("signal-fraction"))
    );
}

#[test]
fn the_summary_counts_freezes_and_not_what_began_to_cool() {
    let folder = Folder::new();
    folder.trained(&["--epochs", "3", "--set", AT_ONCE, "--set", "freezing.cooldown=4"]);
    let summary = folder.json("runs/base/summary.json");
    assert_eq!((&summary["first_freeze"], &summary["last_freeze"]), (&json!(8), &json!(8)));
    assert_eq!((&summary["steps"], &summary["components_frozen"]), (&json!(8), &json!(12)));

    folder.trained(&["--epochs", "2", "--set", AT_ONCE, "--set", "freezing.cooldown=4"]);
    let summary = folder.json("runs/base-2/summary.json");
    assert_eq!((&summary["ended"], &summary["components_frozen"]), (&json!("all-frozen"), &json!(12)));
    // The deadline: at step 2 of 6 there are 4 steps left.
    assert_eq!(events(&folder, "base-2")[0], ("cool".to_owned(), 2));
    assert_eq!(folder.lines("runs/base-2/freezes.jsonl")[0]["policy"], "deadline");

    let cut = ["--epochs", "3", "--max-steps", "9", "--set", AT_ONCE, "--set", "freezing.grace=1"];
    folder.trained(&[&cut[..], &["--set", "freezing.cooldown=1"]].concat());
    assert_eq!(events(&folder, "base-3"), [], "in the grace period the deadline does not act either");
    assert!(folder.json("runs/base-3/summary.json")["first_freeze"].is_null());
}

#[test]
fn the_default_schedule_falls_unless_components_cool() {
    let folder = Folder::new();
    let cases: [(&[&str], ScheduleName); 7] = [
        (&[], ScheduleName::Linear),
        (&["freezing.cooldown=2"], ScheduleName::UntilFrozen),
        (&["freezing.cooldown={ share = 0.5 }"], ScheduleName::UntilFrozen),
        (&[AT_ONCE], ScheduleName::UntilFrozen),
        (&[AT_ONCE, "freezing.cooldown=0"], ScheduleName::Linear),
        (&[AT_ONCE, "freezing.cooldown={ share = 0 }"], ScheduleName::Linear),
        (&[AT_ONCE, "schedule.name=linear"], ScheduleName::Linear),
    ];
    for (assignments, expected) in cases {
        let mut document = Document::parse(&folder.text("base.toml")).unwrap();
        for assignment in assignments {
            document.set(assignment).unwrap();
        }
        let config = RunConfig::read(document.table()).unwrap();
        assert_eq!(config.schedule.name, expected, "{assignments:?}");
    }
}

#[test]
fn until_frozen_can_be_asked_for_by_name() {
    let folder = Folder::new();
    let run = ["--lr", "0.01", "--set", "schedule.name=until-frozen", "--set", "schedule.warmup=0"];
    folder.trained(&run);
    assert_eq!(column(&folder, "base", "learning_rate"), [0.01; 6]);
    folder.trained(&[&run[..], &["--no-freezing"]].concat());
    assert_eq!(column(&folder, "base-2", "learning_rate"), [0.01; 6]);
    assert_eq!(schedule(&folder, "base-2"), "until-frozen");
}

#[test]
fn a_cooldown_is_set_by_its_key_and_has_its_length() {
    let folder = Folder::new();
    for (name, cooldown, freeze) in [("steps", "3", 7), ("share", "{ share = 0.25 }", 5), ("none", "0", 4)] {
        let cooldown = format!("freezing.cooldown={cooldown}");
        folder.trained(&["--name", name, "--epochs", "4", "--set", AT_ONCE, "--set", &cooldown]);
        let found = events(&folder, name);
        assert_eq!(found.last(), Some(&("freeze".to_owned(), freeze)), "{name}");
        assert_eq!(found.len(), if name == "none" { 12 } else { 24 }, "{name}");
    }
}

#[test]
fn two_batches_of_a_step_are_compared() {
    let folder = Folder::new();
    let policy = r#"freezing.policy={ name = "two-batch", floor = 1, window = 2, hits = 1 }"#;
    let run = ["--epochs", "2", "--batch-size", "4", "--set", policy, "--set", "freezing.cooldown=1"];
    folder.trained(&[&run[..], &["--gradient-accumulation-steps", "2"]].concat());
    assert_eq!(folder.json("runs/base/summary.json")["ended"], "all-frozen");
    let first = &folder.lines("runs/base/freezes.jsonl")[0];
    assert_eq!((&first["policy"], &first["statistic"]), (&json!("two-batch"), &json!("two-batch-signal")));
    assert_eq!((&first["event"], &first["step"]), (&json!("cool"), &json!(2)));

    let ran = folder.train(&run);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let error = ran.error();
    assert!(
        error.contains(
            "FreezingOptimizer::backward_accumulate (training.gradient_accumulation_steps = 2 in finetune)"
        ),
        "{error}"
    );
}

#[test]
fn a_step_of_a_single_batch_is_left_out_of_the_comparison() {
    let folder = Folder::new();
    // 24 examples are batches of 5, 5, 5, 5 and 4: the third step of an epoch has one.
    let policy = r#"freezing.policy={ name = "two-batch", floor = 1, window = 3, hits = 1 }"#;
    let run = [
        "--batch-size",
        "5",
        "--gradient-accumulation-steps",
        "2",
        "--set",
        policy,
        "--set",
        "freezing.cooldown=0",
    ];
    folder.trained(&run);
    // Samples at steps 1, 2 and 4.
    assert_eq!(events(&folder, "base"), vec![("freeze".to_owned(), 4); 12]);
}

#[test]
fn sgd_without_momentum_cannot_tell_signal_from_noise() {
    let folder = folder_with("[freezing]\n");
    let sgd = ["--epochs", "7", "--set", "optimizer.name=sgd"];
    folder.trained(&sgd);
    let error = folder.refused(&[&sgd[..], &["--set", "optimizer.momentum=0"]].concat());
    let expected =
        "the statistic signal-fraction with the optimizer \"sgd\": it has no momentum that can be read";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn a_window_that_is_given_must_fit_into_the_run() {
    let folder = folder_with("[freezing]\n");
    let policy = "freezing.policy={ name = 'signal-fraction', window = 20 }";
    let error = folder.refused(&["--max-steps", "5", "--set", policy]);
    assert_eq!(error, "freezing.policy.window: 20 checks are more than the 5 that the run has");
}
