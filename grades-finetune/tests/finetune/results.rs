//! The files of a run's folder, and the printed summary.

use grades_models::bert::{BertClassifier, LoadOptions};
use serde_json::{Value, json};

use crate::support::{FREEZE_ALL, Folder, Tiny};

/// A threshold about where the gradients are, so that components freeze one after the other.
const SOME_FREEZE: &str = "freezing.policy.tau=0.01";

/// The numbers under a key of every line.
fn column(lines: &[Value], key: &str) -> Vec<f64> {
    lines.iter().map(|line| line[key].as_f64().unwrap_or_else(|| panic!("{key} in {line}"))).collect()
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

/// The keys in the order of the file; `Value` sorts them.
fn sorted<const N: usize>(mut keys: [&str; N]) -> [&str; N] {
    keys.sort_unstable();
    keys
}

#[test]
fn a_run_leaves_all_its_files() {
    let folder = Folder::new();
    folder.write("test.tsv", "good film\tyes\nbad film\tno\n");
    let ran = folder.trained(&["--test", "test.tsv"]);
    let files = [
        "config.toml",
        "evals.jsonl",
        "freezes.jsonl",
        "model",
        "report.html",
        "statistics.jsonl",
        "steps.jsonl",
        "summary.json",
    ];
    assert_eq!(folder.names("runs/base"), files);
    assert_eq!(
        folder.names("runs/base/model"),
        ["config.json", "model.safetensors", "tokenizer.json"],
        "of the model's files, those that it came with"
    );
    assert_eq!(folder.bytes("runs/base/model/tokenizer.json"), folder.bytes("model/tokenizer.json"));
    let options = LoadOptions::default();
    let (model, report) = BertClassifier::load(&folder.path("runs/base/model"), options).unwrap();
    assert_eq!((model.labels().len(), report), (2, Default::default()));
    assert_ne!(
        folder.bytes("runs/base/model/model.safetensors"),
        folder.bytes("model/model.safetensors"),
        "the model has been trained"
    );

    assert_eq!(folder.text("runs/base/freezes.jsonl"), "");
    let summary = folder.json("runs/base/summary.json");
    assert_eq!(summary["ended"], "all-steps");
    for row in ["ended", "components frozen", "examples a second", "peak memory", "runs/base"] {
        assert!(ran.stdout.contains(row), "{row}: {}", ran.stdout);
    }
}

#[test]
fn steps_jsonl_has_a_line_for_each_step() {
    let folder = Folder::new();
    folder.trained(&[]);
    let steps = folder.lines("runs/base/steps.jsonl");
    assert_eq!(column(&steps, "step"), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(column(&steps, "epoch"), [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    assert_eq!(column(&steps, "examples"), [8.0; 6]);
    assert_eq!(column(&steps, "frozen"), [0.0; 6]);
    assert_eq!(column(&steps, "cooling"), [0.0; 6]);
    let expected = sorted([
        "step",
        "epoch",
        "loss",
        "learning_rate",
        "grad_norm",
        "examples",
        "tokens",
        "flops",
        "seconds",
        "cooling",
        "frozen",
        "memory_bytes",
        "training_bytes",
    ]);
    for step in &steps {
        assert_eq!(keys(step), expected);
    }
    let epoch: f64 = column(&steps[..3], "tokens").iter().sum();
    // 24 sentences: [CLS], two words, 0 to 5 others, [SEP].
    let words: usize = folder.text("train.tsv").lines().map(|line| line.split_whitespace().count() - 1).sum();
    assert_eq!(epoch, (words + 2 * 24) as f64);
    assert!(column(&steps, "loss").iter().all(|loss| loss.is_finite() && *loss > 0.0));
    assert!(column(&steps, "grad_norm").iter().all(|norm| norm.is_finite() && *norm > 0.0));
    assert!(column(&steps, "seconds").is_sorted(), "time goes on");
    assert!(column(&steps, "memory_bytes").iter().all(|bytes| *bytes > 1e6));
    let training = column(&steps, "training_bytes");
    assert!(
        training.iter().all(|bytes| *bytes == training[0] && *bytes > 0.0),
        "nothing froze: {training:?}"
    );
}

#[test]
fn summary_json_has_all_numbers() {
    let folder = Folder::new();
    folder.trained(&[]);
    let summary = folder.json("runs/base/summary.json");
    let expected = [
        "ended",
        "wall_seconds",
        "train_seconds",
        "train_cpu_seconds",
        "steps",
        "planned_steps",
        "bad_steps",
        "loss_spikes",
        "resumes",
        "examples",
        "examples_per_second",
        "flops",
        "flops_without_freezing",
        "cache_flops",
        "cache_memory_bytes",
        "cache_file_bytes",
        "validation_flops",
        "cost_seconds",
        "cost_flops",
        "components_frozen",
        "components_total",
        "first_freeze",
        "last_freeze",
        "final_train_loss",
        "truncated",
        "eval_loss",
        "eval_accuracy",
        "test_loss",
        "test_accuracy",
        "eval_seconds",
        "validation_seconds",
        "validations",
        "peak_memory_bytes",
        "optimizer_state_bytes",
        "device",
    ];
    assert_eq!(keys(&summary), sorted(expected));
    let number = |key: &str| summary[key].as_f64().unwrap_or_else(|| panic!("{key} in {summary}"));
    assert_eq!((number("steps"), number("planned_steps")), (6.0, 6.0));
    // Two blocks of query, key, value, output, up and down.
    assert_eq!((number("components_frozen"), number("components_total")), (0.0, 12.0));
    assert!(number("wall_seconds") >= number("train_seconds") + number("eval_seconds"));
    let examples = number("examples_per_second") * number("train_seconds");
    assert!((examples - 48.0).abs() < 1e-6 && number("examples") == 48.0, "{examples}");
    let steps = folder.lines("runs/base/steps.jsonl");
    assert_eq!(number("flops"), steps.iter().map(|step| step["flops"].as_f64().unwrap()).sum::<f64>());
    assert_eq!(number("flops"), number("flops_without_freezing"), "nothing froze");
    let validation = ["validations", "validation_seconds", "validation_flops"].map(number);
    assert_eq!(validation, [0.0; 3]);
    assert!(number("train_cpu_seconds") >= 0.0);
    assert_eq!(
        summary["final_train_loss"],
        folder.lines("runs/base/steps.jsonl")[5]["loss"],
        "on the CPU each loss is known at once"
    );
    assert!(number("eval_loss") > 0.0 && (0.0..=1.0).contains(&number("eval_accuracy")));
    assert!(number("peak_memory_bytes") > 1e7 && number("optimizer_state_bytes") > 0.0);
    for key in ["first_freeze", "last_freeze", "test_loss", "test_accuracy"] {
        assert_eq!(summary[key], Value::Null, "{key}");
    }
    assert_eq!((&summary["device"], &summary["truncated"]), (&json!("cpu"), &json!(0)));
}

#[test]
fn a_run_ends_once_all_is_frozen() {
    let folder = Folder::new();
    let ran = folder.trained(&["--set", FREEZE_ALL]);
    let summary = folder.json("runs/base/summary.json");
    assert_eq!((&summary["ended"], &summary["steps"]), (&json!("all-frozen"), &json!(2)));
    assert_eq!((&summary["planned_steps"], &summary["components_frozen"]), (&json!(6), &json!(12)));
    assert_eq!((&summary["first_freeze"], &summary["last_freeze"]), (&json!(2), &json!(2)));
    assert!(ran.stderr.contains("and 9 more"), "{}", ran.stderr);

    let freezes = folder.lines("runs/base/freezes.jsonl");
    assert_eq!(freezes.len(), 12);
    let expected = sorted([
        "event",
        "step",
        "component",
        "kind",
        "layer",
        "statistic",
        "value",
        "threshold",
        "policy",
        "parameters",
    ]);
    for freeze in &freezes {
        assert_eq!(keys(freeze), expected);
        let value = freeze["value"].as_f64().unwrap();
        assert!(value > 0.0 && value < 1e9);
    }
    let first = &freezes[0];
    let mut rest = first.clone();
    rest.as_object_mut().unwrap().remove("value");
    let expected = json!({
        "event": "freeze", "step": 2, "component": "bert.encoder.layer.0.attention.self.query", "kind": "query", "layer": 0,
        "statistic": "grad-l1", "threshold": 1e9, "policy": "fixed-threshold", "parameters": 64
    });
    assert_eq!(rest, expected);
    assert_eq!(folder.lines("runs/base/steps.jsonl").len(), 2);
    assert_eq!(folder.lines("runs/base/steps.jsonl")[1]["frozen"], 12);
}

#[test]
fn grace_and_stop_at_have_their_effect() {
    let folder = Folder::new();
    folder.trained(&["--set", FREEZE_ALL, "--set", "freezing.grace=0.5"]);
    let summary = folder.json("runs/base/summary.json");
    assert_eq!((&summary["first_freeze"], &summary["steps"]), (&json!(4), &json!(4)));

    folder.trained(&["--epochs", "4", "--set", SOME_FREEZE, "--set", "freezing.stop_at=0.25"]);
    let summary = folder.json("runs/base-2/summary.json");
    let number = |key: &str| summary[key].as_u64().unwrap();
    assert!((3..12).contains(&number("components_frozen")), "{summary}");
    assert!(number("steps") < 12 && number("steps") == number("last_freeze"), "{summary}");
}

#[test]
fn nothing_freezes_without_freezing() {
    let folder = Folder::new();
    folder.trained(&["--no-freezing", "--set", FREEZE_ALL]);
    let summary = folder.json("runs/base/summary.json");
    assert_eq!((&summary["ended"], &summary["components_frozen"]), (&json!("all-steps"), &json!(0)));
    assert_eq!(folder.text("runs/base/freezes.jsonl"), "");
    assert!(!folder.toml("runs/base/config.toml").contains_key("freezing"));
    // Freezing that never happens changes no number.
    folder.trained(&[]);
    for file in ["model/model.safetensors", "model/config.json"] {
        let read = |run: &str| folder.bytes(&format!("runs/{run}/{file}"));
        assert_eq!(read("base"), read("base-2"), "{file}");
    }
}

#[test]
fn a_seed_gives_the_same_run_again() {
    let folder = Folder::new();
    let run = |name: &str, seed: &str| {
        folder.trained(&["--name", name, "--seed", seed, "--set", SOME_FREEZE]);
    };
    let without_seconds = |name: &str| -> Vec<Value> {
        let mut lines = folder.lines(&format!("runs/{name}/steps.jsonl"));
        for line in &mut lines {
            (line["seconds"], line["memory_bytes"]) = (Value::Null, Value::Null);
        }
        lines
    };
    run("a", "1");
    run("b", "1");
    run("c", "2");
    let frozen = folder.json("runs/a/summary.json")["components_frozen"].as_u64().unwrap();
    assert!(0 < frozen && frozen < 12, "{frozen} frozen, so that the comparison says little");
    assert_eq!(without_seconds("a"), without_seconds("b"));
    for file in ["freezes.jsonl", "statistics.jsonl", "model/model.safetensors", "model/config.json"] {
        let read = |name: &str| folder.bytes(&format!("runs/{name}/{file}"));
        assert_eq!(read("a"), read("b"), "{file}");
    }
    assert_ne!(without_seconds("a"), without_seconds("c"));
}

#[test]
fn the_resolved_configuration_can_be_run_again() {
    let folder = Folder::new();
    folder.trained(&[
        "--lr",
        "2e-3",
        "--set",
        FREEZE_ALL,
        "--set",
        "data.text=0",
        "--set",
        "data.header=false",
    ]);
    let again = folder.finetune(&["train", "--config", "runs/base/config.toml"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(folder.text("runs/config/config.toml"), folder.text("runs/base/config.toml"));
    assert_eq!(folder.bytes("runs/config/freezes.jsonl"), folder.bytes("runs/base/freezes.jsonl"));
    // What was left to the defaults is written out.
    let config = folder.toml("runs/base/config.toml");
    assert_eq!(config["training"]["eval_batch_size"].as_integer(), Some(64));
    assert_eq!(config["schedule"]["name"].as_str(), Some("linear"));
    assert_eq!(config["optimizer"]["lr"].as_float(), Some(2e-3));
}

#[test]
fn sentences_that_are_cut_are_counted() {
    let folder = Folder::new();
    let ran = folder.trained(&["--max-tokens", "5"]);
    // Three of five sentences have more than three words.
    let long = folder.text("train.tsv").lines().filter(|line| line.split_whitespace().count() > 4).count();
    assert_eq!(folder.json("runs/base/summary.json")["truncated"], long);
    let expected = format!("{long} of 24 training sentences are cut at 5 tokens");
    assert!(ran.stderr.contains(&expected), "{}", ran.stderr);
    let tokens: u64 =
        folder.lines("runs/base/steps.jsonl").iter().map(|s| s["tokens"].as_u64().unwrap()).sum();
    assert!(tokens <= 48 * 5);
}

#[test]
fn evaluations_on_the_way_are_shown_and_change_nothing() {
    let folder = Folder::new();
    folder.trained(&[]);
    let ran = folder.trained(&["--eval-every", "2"]);
    // What the last step leads to is evaluated once, after it.
    for step in [2, 4] {
        assert!(ran.stderr.contains(&format!("step {step}: eval accuracy 0.")), "{}", ran.stderr);
    }
    let read = |run: &str| folder.bytes(&format!("runs/{run}/model/model.safetensors"));
    assert_eq!(read("base"), read("base-2"));
    let eval = |run: &str| folder.json(&format!("runs/{run}/summary.json"))["eval_loss"].clone();
    assert_eq!(eval("base"), eval("base-2"));
}

#[test]
fn a_head_that_is_there_is_trained_on() {
    let folder = Folder::with(&Tiny::classifier());
    let ran = folder.trained(&[]);
    assert!(!ran.stderr.contains("drawn afresh"), "{}", ran.stderr);
    let ran = folder.trained(&["--set", "model.new_head=true"]);
    let expected = "drawn afresh, not in the files: classifier.bias, classifier.weight";
    assert!(ran.stderr.contains(expected), "{}", ran.stderr);
}

#[test]
fn sixteen_bits_do_as_well() {
    let folder = Folder::new();
    folder.trained(&["--set", "model.dtype=bf16", "--set", FREEZE_ALL, "--set", "freezing.grace=0.5"]);
    let summary = folder.json("runs/base/summary.json");
    assert_eq!((&summary["steps"], &summary["ended"]), (&json!(4), &json!("all-frozen")));
    assert!(summary["eval_loss"].is_f64(), "{summary}");
    assert_eq!(folder.json("runs/base/model/config.json")["dtype"], "bfloat16");
    let size = |name: &str| folder.bytes(name).len();
    assert!(size("runs/base/model/model.safetensors") < size("model/model.safetensors"));
}

#[test]
fn what_goes_to_no_terminal_is_plain_lines() {
    let folder = Folder::new();
    let mut command = folder.command(crate::support::PROGRAM, &["train", "--config", "base.toml"]);
    let ran = crate::support::Ran::of(command.env("GRADES_LOG", "info").env_remove("NO_COLOR"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("watching components"), "{}", ran.stderr);
    assert!(ran.stderr.contains("\nstep 1/6  loss ") && ran.stderr.contains("\nstep 6/6  loss "));
    for text in [&ran.stdout, &ran.stderr] {
        let control = text.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(control, None, "{text}");
    }
}

#[test]
fn a_reader_that_goes_away_does_not_end_the_run() {
    let folder = Folder::new();
    let mut command = folder.command(crate::support::PROGRAM, &["train", "--config", "base.toml"]);
    let (closed, writer) = std::io::pipe().unwrap();
    drop(closed);
    let status = command.stdout(writer.try_clone().unwrap()).stderr(writer).status().unwrap();
    assert_eq!(folder.json("runs/base/summary.json")["steps"], 6);
    assert_eq!(status.code(), Some(0));
}
