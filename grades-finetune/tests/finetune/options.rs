//! The options of `finetune train`, and `--set`.

use toml::Value;

use crate::support::{Folder, Ran, Tiny};

/// A value of the resolved configuration of a run, by its dotted key.
fn resolved(folder: &Folder, run: &str, key: &str) -> Value {
    let mut value = Value::Table(folder.files(run).config());
    for part in key.split('.') {
        value = value.get(part).unwrap_or_else(|| panic!("{key} is not in config.toml")).clone();
    }
    value
}

#[test]
fn every_option_sets_its_key() {
    let folder = Folder::new();
    Tiny::base().write_to(&folder.path("other model"));
    for name in ["a.tsv", "b.tsv", "c.tsv"] {
        folder.write(name, folder.text("train.tsv"));
    }
    struct Case {
        option: &'static str,
        value: &'static str,
        key: &'static str,
    }
    let option = |option, value, key| Case { option, value, key };
    let options = [
        option("--model", "other model", "model.path"),
        option("--train", "a.tsv", "data.train"),
        option("--eval", "b.tsv", "data.eval"),
        option("--test", "c.tsv", "data.test"),
        // A name that would be a number in TOML is a name all the same.
        option("--name", "7", "output.name"),
        option("--output", "runs", "output.folder"),
        option("--epochs", "5", "training.epochs"),
        option("--max-steps", "2", "training.max_steps"),
        option("--batch-size", "4", "training.batch_size"),
        option("--gradient-accumulation-steps", "3", "training.gradient_accumulation_steps"),
        option("--lr", "0.25", "optimizer.lr"),
        option("--max-tokens", "9", "data.max_tokens"),
        option("--eval-every", "1", "training.eval_every"),
        option("--seed", "11", "training.seed"),
        option("--device", "cpu", "model.device"),
        option("--save-every", "2", "checkpoint.every"),
        option("--keep", "3", "checkpoint.keep"),
        option("--lora-rank", "3", "lora.r"),
        option("--lora-alpha", "6.0", "lora.lora_alpha"),
    ];
    let arguments: Vec<&str> = options.iter().flat_map(|case| [case.option, case.value]).collect();
    // Without a file: the options alone suffice.
    let ran = folder.finetune(&[&["train"], &arguments[..]].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for Case { option, value, key } in &options {
        let found = match resolved(&folder, "7", key) {
            Value::String(text) => text,
            other => other.to_string(),
        };
        assert_eq!(found, *value, "{option}");
    }
    assert_eq!(folder.files("7").summary().steps.steps, 2);
    assert_eq!(folder.files("7").steps()[0].work.examples, 12);

    let help = folder.finetune(&["train", "--help"]).stdout;
    let listed = help.lines().filter(|line| line.trim_start().starts_with("--")).count();
    // --config, --no-report, --tensorboard, --freezing, --no-freezing, --lora, --no-lora, --merge-frozen, --early-stopping, --set,
    // --resume, --dry-run and --allow-changes are tested elsewhere; so are, on Linux, --nproc, --ranks-from and --rank-timeout.
    let elsewhere = if cfg!(target_os = "linux") { 16 } else { 13 };
    assert_eq!(listed, options.len() + elsewhere, "{help}");
}

#[test]
fn a_quiet_run_tells_nothing_but_warnings() {
    let folder = Folder::new();
    let ran = folder.trained(&["--quiet"]);
    assert_eq!(ran.stderr, "");
    assert!(ran.stdout.contains("training time"), "{}", ran.stdout);
    let spikes = ["--epochs", "60", "--lr", "0.3", "--set", "guard.spike_factor=1.2", "--batch-size", "2"];
    let ran = folder.trained(&[&spikes[..], &["-q", "--name", "spikes"]].concat());
    assert!(!ran.stderr.is_empty(), "there was nothing to warn of");
    assert!(ran.stderr.lines().all(|line| line.starts_with("warning: ")), "{}", ran.stderr);
}

#[test]
fn freezing_adds_the_automatic_policy_and_its_settings_are_written() {
    let folder = Folder::new();
    // The base file names a policy of its own, which stays.
    folder.trained(&["--name", "own", "--max-steps", "2", "--freezing"]);
    assert_eq!(resolved(&folder, "own", "freezing.policy.name"), "fixed-threshold".into());

    let plain =
        ["train", "--model", "model", "--train", "train.tsv", "--max-tokens", "12", "--max-steps", "2"];
    let ran = folder.finetune(&[&plain[..], &["--name", "none"]].concat());
    assert!(ran.stderr.contains("nothing freezes"), "{}", ran.stderr);
    let ran = folder.finetune(&[&plain[..], &["--name", "a", "--freezing"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(resolved(&folder, "a", "freezing.policy.name"), "signal-fraction".into());
    assert_eq!(resolved(&folder, "a", "freezing.cooldown.share"), 1.0.into());
    assert_eq!(resolved(&folder, "a", "schedule.name"), "until-frozen".into());
    let both = folder.finetune(&["train", "--freezing", "--no-freezing"]);
    assert_eq!(both.code, Some(2), "{}", both.stderr);
}

#[test]
fn set_takes_values_of_every_kind() {
    let folder = Folder::new();
    let policy =
        r#"freezing.policy={ name = "patience", hits = 2, policy = { name = "fixed-threshold", tau = 1 } }"#;
    let assignments = [
        "output.name=named",
        "model.device = cpu",
        "data.text=0",
        "data.header=false",
        "data.format=tsv",
        "data.bucket=2",
        "training.max_steps=2",
        "training.clip_norm=0",
        "training.eval_batch_size=3",
        "optimizer.name=sgd",
        "optimizer.momentum=0.5",
        "optimizer.weight_decay=0",
        "schedule.name=cosine",
        "schedule.warmup=1e-1",
        "freezing.metric=grad-mean-abs",
        "freezing.components.track=[\"attention\", \"mlp\"]",
        "freezing.components.exclude=['.*query\\.weight']",
        policy,
    ];
    let arguments: Vec<&str> = assignments.iter().flat_map(|assignment| ["--set", *assignment]).collect();
    folder.trained(&arguments);
    let found = |key| resolved(&folder, "named", key);
    assert_eq!(found("model.device"), "cpu".into());
    assert_eq!((found("data.text"), found("data.label")), (0.into(), "auto".into()));
    assert_eq!((found("data.header"), found("data.format")), (false.into(), "tsv".into()));
    assert_eq!(found("optimizer.name"), "sgd".into());
    assert_eq!((found("optimizer.momentum"), found("optimizer.weight_decay")), (0.5.into(), 0.0.into()));
    assert_eq!((found("schedule.name"), found("schedule.warmup")), ("cosine".into(), 0.1.into()));
    assert_eq!(found("freezing.components.track"), vec!["attention", "mlp"].into());
    assert_eq!(found("freezing.policy.policy.tau"), 1.into());
    assert_eq!(folder.files("named").summary().freezing.components_total, 10);
    // Nobody asked for the norm of the gradients.
    assert_eq!(folder.files("named").steps()[0].grad_norm, None);
}

#[test]
fn set_comes_after_options_and_those_after_the_file() {
    let folder = Folder::new();
    let last = ["--max-steps", "1", "--name", "a", "--seed", "3", "--lr", "0.5"];
    folder.trained(&[&last[..], &["--set", "training.seed=4", "--set", "training.seed=5"]].concat());
    assert_eq!(resolved(&folder, "a", "training.seed"), 5.into());
    assert_eq!(resolved(&folder, "a", "optimizer.lr"), 0.5.into());
    assert_eq!(resolved(&folder, "a", "training.epochs"), 2.into());
}

#[test]
fn a_bad_assignment_is_refused() {
    let folder = Folder::new();
    let cases = [
        ("training.epochs", "--set training.epochs: expected KEY=VALUE, such as training.epochs=1"),
        ("=1", "\"\" is no key: a part of it is empty"),
        ("training..epochs=1", "\"training..epochs\" is no key: a part of it is empty"),
        (
            "training.epochs.x=1",
            "\"training.epochs.x\" cannot be set: training.epochs is a value, not a table",
        ),
    ];
    for (assignment, expected) in cases {
        assert_eq!(folder.run_refused(&[assignment]), expected);
    }
    // An option is read as its key is.
    let error = folder.refused(&["--epochs", "1.5"]);
    assert_eq!(error, "training.epochs: expected a whole number, at least 1, found 1.5");
}

#[test]
fn wrong_usage_has_a_code_of_its_own() {
    let folder = Folder::new();
    for arguments in [&["train", "--epoch", "1"][..], &[], &["trian"], &["logits", "--model", "model"]] {
        let Ran { code, stderr, .. } = folder.finetune(arguments);
        assert_eq!(code, Some(2), "{arguments:?}");
        assert!(stderr.contains("Usage: finetune"), "{stderr}");
    }
    assert!(folder.finetune(&["--help"]).stdout.contains("130 interrupted"));
}
