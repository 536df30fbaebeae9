//! Configurations that cannot be used: the key is named, with what could have stood there.

use crate::support::{Folder, LINKED};

/// Sets all keys at once, and expects one problem for each.
fn all_refused(cases: &[(&str, &str)]) {
    let assignments: Vec<&str> = cases.iter().map(|(assignment, _)| *assignment).collect();
    let error = Folder::new().run_refused(&assignments);
    let problems: Vec<&str> = error.lines().skip(1).map(str::trim_start).collect();
    assert_eq!(problems.len(), cases.len(), "{error}");
    for (assignment, expected) in cases {
        let told = problems.iter().any(|problem| problem.starts_with(expected));
        assert!(told, "{assignment}: {expected}\nnot in {error}");
    }
}

#[test]
fn an_unknown_policy_is_named_with_the_nearest_and_all_others() {
    let error = Folder::new().run_refused(&["freezing.policy.name=fixed-treshold"]);
    let expected = "freezing.policy.name: no policy \"fixed-treshold\" is linked (did you mean \"fixed-threshold\"?); \
                    linked policies: ";
    assert!(error.starts_with(&format!("{expected}{LINKED}")), "{error}");
    let error = Folder::new().run_refused(&["freezing.policy={}"]);
    assert_eq!(error, format!("freezing.policy.name: is missing; linked policies: {LINKED}"));
}

#[test]
fn unknown_keys_and_words_are_named_with_the_nearest() {
    all_refused(&[
        (
            "training.epoch=1",
            "training.epoch: unknown key (did you mean \"epochs\"?); known: epochs, max_steps, ",
        ),
        (
            "trainig.epochs=1",
            "trainig: unknown key (did you mean \"training\"?); known: output, model, data, ",
        ),
        ("freezing.grase=0", "freezing.grase: unknown key (did you mean \"grace\"?); known: metric, grace, "),
        (
            "freezing.policy.tua=1",
            "freezing.policy.tua: unknown key (did you mean \"tau\"?); known: tau, metric",
        ),
        (
            "optimizer.name=adamm",
            "optimizer.name: unknown optimizer \"adamm\" (did you mean \"adam\"?); known: adamw, adam, sgd",
        ),
        (
            "schedule.name=step",
            "schedule.name: unknown schedule \"step\"; known: linear, cosine, constant, until-frozen",
        ),
        (
            "model.device=gpu",
            "model.device: unknown device \"gpu\" (did you mean \"cpu\"?); known: auto, cpu, cuda, cuda:N",
        ),
        ("model.dtype=f16", "model.dtype: unknown dtype \"f16\" (did you mean \"bf16\"?); known: f32, bf16"),
        ("data.format=xml", "data.format: expected tsv, csv or jsonl, found \"xml\""),
        ("data.header=no", "data.header: expected true, false or \"auto\", found \"no\""),
        ("freezing.metric=grad", "freezing.metric: unknown statistic \"grad\"; known: "),
    ]);
}

#[test]
fn all_problems_are_shown_at_once() {
    let folder = Folder::new();
    folder.write(
        "base.toml",
        "[model]\nkind = 'f8'\n[data]\ntrain = 3\n[training]\nepoch = 1\n[freezing]\ngrace = 2\n[freezing.policy]\n\
         name = 'patience'\nhits = 0\npolicy = { name = 'fixed-threshold', tau = -1 }\n",
    );
    let error = folder.run_refused(&[]);
    let lines: Vec<&str> = error.lines().collect();
    let expected = [
        "7 problems:",
        "  model.path: is missing; expected a string",
        "  model.dtype: unknown dtype \"f8\"",
        "  data.train: expected a string, found 3",
        "  training.epoch: unknown key (did you mean \"epochs\"?)",
        "  freezing.grace: expected a share from 0 to 1, found 2",
        "  freezing.policy.hits: expected a whole number, at least 1, found 0",
        "  freezing.policy.policy.tau: expected a number above 0, found -1",
    ];
    assert_eq!(lines.len(), expected.len(), "{error}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{error}");
    }
}

#[test]
fn numbers_that_are_out_of_range_are_refused() {
    all_refused(&[
        ("freezing.policy.tau=-1", "freezing.policy.tau: expected a number above 0, found -1"),
        ("freezing.grace=1.5", "freezing.grace: expected a share from 0 to 1, found 1.5"),
        ("freezing.stop_at=0", "freezing.stop_at: expected a share above 0, up to 1, found 0"),
        (
            "freezing.cooldown=-1",
            "freezing.cooldown: expected a number of steps, or { share = S } with S of at least 0, found -1",
        ),
        ("freezing.check_every=0", "freezing.check_every: expected a whole number, at least 1, found 0"),
        ("optimizer.lr=0", "optimizer.lr: expected a number above 0, found 0"),
        ("optimizer.beta1=1", "optimizer.beta1: expected a number from 0 to below 1, found 1"),
        ("schedule.warmup=1.1", "schedule.warmup: expected a share from 0 to 1, found 1.1"),
        ("training.clip_norm=-1", "training.clip_norm: expected a number of at least 0, found -1"),
        ("training.batch_size=0", "training.batch_size: expected a whole number, at least 1, found 0"),
        ("training.seed=-1", "training.seed: expected a whole number, at least 0, found -1"),
        ("output.name=3", "output.name: expected a string, found 3"),
        ("model.new_head=yes", "model.new_head: expected true or false, found \"yes\""),
    ]);
    all_refused(&[
        ("freezing.policy.tau=nan", "freezing.policy.tau: expected a number above 0, found nan"),
        ("freezing.grace=-0.1", "freezing.grace: expected a share from 0 to 1, found -0.1"),
        (
            "freezing.cooldown={ share = -0.5 }",
            "freezing.cooldown: expected a number of steps, or { share = S } with S of at least 0, found { share = -0.5 }",
        ),
        ("optimizer.lr=inf", "optimizer.lr: expected a number above 0, found inf"),
        ("optimizer.eps=nan", "optimizer.eps: expected a number of at least 0, found nan"),
        ("training.epochs=two", "training.epochs: expected a whole number, at least 1, found \"two\""),
        ("training.max_steps=", "training.max_steps: expected a whole number, at least 1, found \"\""),
        (
            "training.gradient_accumulation_steps=1.5",
            "training.gradient_accumulation_steps: expected a whole number, at least 1, found 1.5",
        ),
        ("schedule=3", "schedule: expected a table, found 3"),
    ]);
}

#[test]
fn excluding_all_components_shows_the_names() {
    let error = Folder::new().run_refused(&["freezing.components.exclude=['.*']"]);
    let expected =
        "no component to freeze: all that could freeze is excluded (12 parameters)\nparameters seen: bert.";
    assert!(error.starts_with(expected), "{error}");
    assert!(error.contains("bert.encoder.layer.0.attention.self.key.weight"), "{error}");
}

#[test]
fn a_file_that_is_no_configuration_is_named() {
    let folder = Folder::new();
    let error = |file: &str| {
        let ran = folder.finetune(&["train", "--config", file]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        ran.error()
    };
    assert_eq!(error("gone.toml"), "cannot read gone.toml: No such file or directory (os error 2)");
    folder.write("broken.toml", "[training]\nepochs = \n");
    let found = error("broken.toml");
    assert!(found.starts_with("broken.toml is not TOML: ") && found.contains("line 2"), "{found}");
    folder.write("empty.toml", "");
    let found = error("empty.toml");
    assert!(found.contains("model.path: is missing") && found.contains("data.train: is missing"), "{found}");
    assert!(folder.names("runs").is_empty());
}
