//! The files of a run's folder, and the printed summary.

use grades::component::ComponentKind;
use grades::policy::Measure;
use grades::statistic::Statistic;
use grades::tracker::{FreezeEvent, Transition};
use grades_finetune::records::{
    BestStep, FreezeCounts, MemoryCounts, Scores, StepCounts, StepRecord, StopReason, Summary, Times,
};
use grades_models::bert::{BertClassifier, LoadOptions};
use serde_json::Value;

use crate::support::{FREEZE_ALL, Folder, PROGRAM, Ran, RunFiles, Tiny};
use crate::tolerance::{FORMULA, assert_number_within};

/// A threshold about where the gradients are, so that components freeze one after the other.
const SOME_FREEZE: &str = "freezing.policy.tau=0.01";

/// A number of every step.
fn column<T>(steps: &[StepRecord], number: impl Fn(&StepRecord) -> T) -> Vec<T> {
    steps.iter().map(number).collect()
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
        ["README.md", "config.json", "model.safetensors", "tokenizer.json"],
        "of the model's files, those that it came with, and its card"
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
    assert_eq!(folder.files("base").summary().ended, StopReason::AllSteps);
    for row in ["ended", "components frozen", "examples a second", "peak memory", "runs/base"] {
        assert!(ran.stdout.contains(row), "{row}: {}", ran.stdout);
    }
}

#[test]
fn steps_jsonl_has_a_line_for_each_step() {
    let folder = Folder::new();
    let run = folder.run(&[]);
    let steps = run.files.steps();
    assert_eq!(column(&steps, |step| step.step), [1, 2, 3, 4, 5, 6]);
    assert_eq!(column(&steps, |step| step.epoch), [1, 1, 1, 2, 2, 2]);
    assert_eq!(column(&steps, |step| step.work.examples), [8; 6]);
    assert_eq!(column(&steps, |step| step.components.frozen), [0; 6]);
    assert_eq!(column(&steps, |step| step.components.cooling), [0; 6]);
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
    for line in folder.lines("runs/base/steps.jsonl") {
        assert_eq!(keys(&line), expected);
    }
    let epoch: usize = column(&steps[..3], |step| step.work.tokens).iter().sum();
    // 24 sentences: [CLS], two words, 0 to 5 others, [SEP].
    let words: usize = folder.text("train.tsv").lines().map(|line| line.split_whitespace().count() - 1).sum();
    assert_eq!(epoch, words + 2 * 24);
    assert!(steps.iter().all(|step| step.loss.is_finite() && step.loss > 0.0));
    assert!(steps.iter().all(|step| step.grad_norm.is_some_and(|norm| norm.is_finite() && norm > 0.0)));
    assert!(column(&steps, |step| step.work.seconds).is_sorted(), "time goes on");
    assert!(steps.iter().all(|step| step.memory.memory_bytes > Some(1_000_000)));
    let training = column(&steps, |step| step.memory.training_bytes);
    assert!(training.iter().all(|bytes| *bytes == training[0] && *bytes > 0), "nothing froze: {training:?}");
}

#[test]
fn summary_json_has_all_numbers() {
    let folder = Folder::new();
    let run = folder.run(&[]);
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
        "eval_balanced_accuracy",
        "eval_macro_f1",
        "eval_micro_f1",
        "eval_mcc",
        "eval_classes",
        "test_loss",
        "test_accuracy",
        "eval_seconds",
        "validation_seconds",
        "validations",
        "peak_memory_bytes",
        "optimizer_state_bytes",
        "device",
    ];
    assert_eq!(keys(&folder.json("runs/base/summary.json")), sorted(expected));
    let Summary {
        time,
        steps,
        freezing,
        data,
        final_train_loss,
        eval,
        test,
        best,
        flops,
        memory,
        device,
        ..
    } = run.files.summary();
    let StepCounts { steps: done, planned_steps, validations, .. } = steps;
    assert_eq!((done, planned_steps, validations), (6, 6, 0));
    // Two blocks of query, key, value, output, up and down.
    let expected =
        FreezeCounts { components_frozen: 0, components_total: 12, first_freeze: None, last_freeze: None };
    assert_eq!(freezing, expected);
    let Times { wall_seconds, train_seconds, train_cpu_seconds, eval_seconds, validation_seconds, .. } = time;
    assert!(wall_seconds >= train_seconds + eval_seconds, "{time:?}");
    assert!(train_cpu_seconds.unwrap() >= 0.0 && validation_seconds == 0.0, "{time:?}");
    assert_number_within(data.examples_per_second * train_seconds, 48.0, FORMULA, "examples a second");
    assert_eq!((data.examples, data.truncated), (48, 0));
    let steps = run.files.steps();
    assert_eq!(flops.flops, steps.iter().map(|step| step.work.flops).sum::<u128>());
    assert_eq!(flops.flops, flops.flops_without_freezing, "nothing froze");
    assert_eq!(flops.validation_flops, 0);
    assert_eq!(final_train_loss, Some(steps[5].loss), "on the CPU each loss is known at once");
    assert!(eval.loss.unwrap() > 0.0 && (0.0..=1.0).contains(&eval.accuracy.unwrap()), "{eval:?}");
    let MemoryCounts { peak_memory_bytes, optimizer_state_bytes, cache_memory_bytes, cache_file_bytes } =
        memory;
    assert_eq!((cache_memory_bytes, cache_file_bytes, flops.cache_flops), (0, 0, 0), "nothing froze");
    assert!(peak_memory_bytes > Some(10_000_000) && optimizer_state_bytes > Some(0), "{memory:?}");
    assert_eq!((test, best), (Scores::default(), BestStep::default()));
    assert_eq!(device, "cpu");
    let json = folder.json("runs/base/summary.json");
    for key in ["first_freeze", "last_freeze", "test_loss", "test_accuracy"] {
        assert_eq!(json[key], Value::Null, "{key}");
    }
}

#[test]
fn a_run_ends_once_all_is_frozen() {
    let folder = Folder::new();
    let ran = folder.trained(&["--set", FREEZE_ALL]);
    let files = folder.files("base");
    let Summary { ended, steps, freezing, .. } = files.summary();
    assert_eq!((ended, steps.steps, steps.planned_steps), (StopReason::AllFrozen, 2, 6));
    let expected = FreezeCounts {
        components_frozen: 12,
        components_total: 12,
        first_freeze: Some(2),
        last_freeze: Some(2),
    };
    assert_eq!(freezing, expected);
    assert!(ran.stderr.contains("and 9 more"), "{}", ran.stderr);

    let freezes = files.freezes();
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
    for line in folder.lines("runs/base/freezes.jsonl") {
        assert_eq!(keys(&line), expected);
    }
    assert!(freezes.iter().all(|freeze| freeze.value > 0.0 && freeze.value < 1e9), "{freezes:?}");
    let first = FreezeEvent {
        event: Transition::Freeze,
        step: 2,
        component: "bert.encoder.layer.0.attention.self.query".to_owned(),
        kind: ComponentKind::Query,
        layer: Some(0),
        statistic: Measure::Statistic(Statistic::GradL1),
        value: freezes[0].value,
        threshold: 1e9,
        policy: "fixed-threshold".into(),
        parameters: 64,
        index: 0,
    };
    assert_eq!(freezes[0], first);
    let steps = files.steps();
    assert_eq!((steps.len(), steps[1].components.frozen), (2, 12));
}

#[test]
fn grace_and_stop_at_have_their_effect() {
    let folder = Folder::new();
    let summary = folder.run(&[FREEZE_ALL, "freezing.grace=0.5"]).summary;
    assert_eq!((summary.freezing.first_freeze, summary.steps.steps), (Some(4), 4));

    let summary = folder.run(&["training.epochs=4", SOME_FREEZE, "freezing.stop_at=0.25"]).summary;
    assert!((3..12).contains(&summary.freezing.components_frozen), "{summary:?}");
    let steps = summary.steps.steps;
    assert!(steps < 12 && Some(steps) == summary.freezing.last_freeze, "{summary:?}");
}

#[test]
fn nothing_freezes_without_freezing() {
    let folder = Folder::new();
    folder.trained(&["--no-freezing", "--set", FREEZE_ALL]);
    let base = folder.files("base");
    let summary = base.summary();
    assert_eq!((summary.ended, summary.freezing.components_frozen), (StopReason::AllSteps, 0));
    assert_eq!(folder.text("runs/base/freezes.jsonl"), "");
    assert!(!base.config().contains_key("freezing"));
    // Freezing that never happens changes no number.
    let watched = folder.run(&[]).files;
    for file in ["model/model.safetensors", "model/config.json"] {
        assert_eq!(base.bytes(file), watched.bytes(file), "{file}");
    }
}

#[test]
fn a_seed_gives_the_same_run_again() {
    let folder = Folder::new();
    let run = |seed: &str| folder.run(&[&format!("training.seed={seed}"), SOME_FREEZE]);
    let without_times = |files: &RunFiles| -> Vec<StepRecord> {
        let mut steps = files.steps();
        for step in &mut steps {
            (step.work.seconds, step.memory.memory_bytes) = (0.0, None);
        }
        steps
    };
    let (a, b, c) = (run("1"), run("1"), run("2"));
    let frozen = a.summary.freezing.components_frozen;
    assert!(0 < frozen && frozen < 12, "{frozen} frozen, so that the comparison says little");
    assert_eq!(without_times(&a.files), without_times(&b.files));
    for file in ["freezes.jsonl", "statistics.jsonl", "model/model.safetensors", "model/config.json"] {
        assert_eq!(a.files.bytes(file), b.files.bytes(file), "{file}");
    }
    assert_ne!(without_times(&a.files), without_times(&c.files));
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
    let config = folder.files("base").config();
    assert_eq!(config["training"]["eval_batch_size"].as_integer(), Some(64));
    assert_eq!(config["schedule"]["name"].as_str(), Some("linear"));
    assert_eq!(config["optimizer"]["lr"].as_float(), Some(2e-3));
}

#[test]
fn sentences_that_are_cut_are_counted() {
    let folder = Folder::new();
    let run = folder.run(&["data.max_tokens=5"]);
    // Three of five sentences have more than three words.
    let long = folder.text("train.tsv").lines().filter(|line| line.split_whitespace().count() > 4).count();
    assert_eq!(run.summary.data.truncated, long);
    let expected = format!("{long} of 24 training sentences are cut at 5 tokens");
    assert!(run.log.notes.iter().any(|note| note.contains(&expected)), "{:?}", run.log.notes);
    let tokens: usize = run.files.steps().iter().map(|step| step.work.tokens).sum();
    assert!(tokens <= 48 * 5);
}

#[test]
fn evaluations_on_the_way_are_shown_and_change_nothing() {
    let folder = Folder::new();
    let plain = folder.run(&[]);
    let ran = folder.trained(&["--name", "watched", "--eval-every", "2"]);
    let watched = folder.files("watched");
    // What the last step leads to is evaluated once, after it.
    for step in [2, 4] {
        assert!(ran.stderr.contains(&format!("step {step}: eval accuracy 0.")), "{}", ran.stderr);
    }
    assert_eq!(plain.files.parameters(), watched.parameters());
    assert_eq!(plain.summary.eval.loss, watched.summary().eval.loss);
}

#[test]
fn a_head_that_is_there_is_trained_on() {
    let folder = Folder::with(&Tiny::classifier());
    let notes = folder.run(&[]).log.notes;
    assert!(notes.iter().all(|note| !note.contains("drawn afresh")), "{notes:?}");
    let notes = folder.run(&["model.new_head=true"]).log.notes;
    let expected = "drawn afresh, not in the files: classifier.bias, classifier.weight";
    assert!(notes.iter().any(|note| note.contains(expected)), "{notes:?}");
}

#[test]
fn sixteen_bits_do_as_well() {
    let folder = Folder::new();
    let summary = folder.run(&["model.dtype=bf16", FREEZE_ALL, "freezing.grace=0.5"]).summary;
    assert_eq!((summary.steps.steps, summary.ended), (4, StopReason::AllFrozen));
    assert!(summary.eval.loss.unwrap().is_finite(), "{summary:?}");
    assert_eq!(folder.json("runs/base/model/config.json")["dtype"], "bfloat16");
    let size = |name: &str| folder.bytes(name).len();
    assert!(size("runs/base/model/model.safetensors") < size("model/model.safetensors"));
}

#[test]
fn what_goes_to_no_terminal_is_plain_lines() {
    let folder = Folder::new();
    let mut command = folder.command(PROGRAM, &["train", "--config", "base.toml"]);
    let ran = Ran::of(command.env("GRADES_LOG", "info").env_remove("NO_COLOR"));
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
    let mut command = folder.command(PROGRAM, &["train", "--config", "base.toml"]);
    let (closed, writer) = std::io::pipe().unwrap();
    drop(closed);
    let status = command.stdout(writer.try_clone().unwrap()).stderr(writer).status().unwrap();
    assert_eq!(folder.files("base").summary().steps.steps, 6);
    assert_eq!(status.code(), Some(0));
}
