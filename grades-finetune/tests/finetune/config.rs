//! The reference of all keys, and keys that were renamed.

use grades_finetune::config::{Document, RunConfig, reference};
// The policies are part of the reference.
use grades_policies as _;
use toml::Table;

use crate::support::Folder;

/// The configuration in force, as a run writes it.
fn resolved(text: &str) -> Table {
    let document: Table = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    Table::try_from(RunConfig::read(&document).unwrap()).unwrap()
}

/// The reference with the keys of tables that are on uncommented, where they have a value.
fn uncommented(reference: &str) -> String {
    let key = |line: &str| {
        let (name, value) = line.strip_prefix("# ")?.split_once(" =")?;
        let plain = name.chars().all(|letter| letter.is_ascii_lowercase() || "_0123456789".contains(letter));
        (plain && !value.is_empty()).then(|| format!("{name} ={value}"))
    };
    let mut on = true;
    let mut text = String::new();
    for line in reference.lines() {
        if line.starts_with('[') || line.starts_with("# [") {
            on = line.starts_with('[');
        }
        text += &key(line).filter(|_| on).unwrap_or_else(|| line.to_owned());
        text.push('\n');
    }
    text
}

#[test]
fn the_reference_is_a_configuration_with_all_defaults() {
    let reference = reference::toml().unwrap();
    let written = resolved(&uncommented(&reference));
    let defaults = resolved("[model]\npath = ''\n[data]\ntrain = ''");
    assert_eq!(written, defaults);
    for line in
        ["# gradient_accumulation_steps = 1", "# lr = 5e-5", "# [early_stopping]", "# r = 8", "# grace = 0.0"]
    {
        assert!(reference.lines().any(|found| found == line), "{line} is not in\n{reference}");
    }
    let folder = Folder::new();
    assert_eq!(folder.finetune(&["config"]).stdout, reference);
}

#[test]
fn the_page_of_the_keys_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        page == reference::markdown().unwrap(),
        "docs/configuration.md is not current: cargo run -p grades-finetune -- config --markdown > docs/configuration.md"
    );
}

#[test]
fn the_help_shows_keys_and_defaults() {
    let help = Folder::new().finetune(&["train", "--help"]).stdout;
    let options = [
        "[training.epochs, default: 3]",
        "[optimizer.lr, default: 5e-5; 5e-4 with [lora]]",
        "[model.path, required]",
        "[training.gradient_accumulation_steps, default: 1]",
        "implies --lora [lora.r, default: 8]",
    ];
    for expected in options {
        assert!(help.contains(expected), "{expected} is not in\n{help}");
    }
}

#[test]
fn old_names_of_keys_work_with_a_warning() {
    let folder = Folder::new();
    let old = ["--set", "model.kind=f32", "--set", "training.share=0.5", "--accumulate", "2"];
    let ran =
        folder.trained(&[&old[..], &["--name", "old", "--set", "training.checkpointing=false"]].concat());
    let warnings: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
    let expected = |old: &str, new: &str| {
        format!("warning: {old} is now called {new}; the old name works for one more release")
    };
    assert_eq!(
        warnings,
        [
            expected("model.kind", "model.dtype"),
            expected("training.checkpointing", "training.activation_checkpointing"),
            expected("training.share", "training.step_fraction"),
        ]
    );
    let new = ["--set", "model.dtype=f32", "--set", "training.step_fraction=0.5"];
    let new = [&new[..], &["--gradient-accumulation-steps", "2", "--name", "new"]].concat();
    assert!(!folder.trained(&new).stderr.contains("warning"));
    let parameters = |run: &str| folder.bytes(&format!("runs/{run}/model/model.safetensors"));
    assert_eq!(parameters("old"), parameters("new"));
    let training = folder.toml("runs/old/config.toml")["training"].clone();
    assert_eq!(training["step_fraction"], 0.5.into());
    assert_eq!(training["gradient_accumulation_steps"], 2.into());
    assert_eq!(training.get("share"), None);
}

#[test]
fn a_key_under_both_names_is_refused() {
    let error = Folder::new().refused(&["--set", "model.kind=bf16", "--set", "model.dtype=bf16"]);
    assert_eq!(error, "model.kind: is the old name of dtype, which is given as well; remove it");
}

#[test]
fn the_folder_of_a_run_with_old_names_resumes() {
    let folder = Folder::new();
    folder.trained(&["--name", "a"]);
    let text = folder.text("runs/a/config.toml");
    let old = text
        .replacen("\ndtype = ", "\nkind = ", 1)
        .replace("\ngradient_accumulation_steps = ", "\naccumulate = ")
        .replace("\nactivation_checkpointing = ", "\ncheckpointing = ")
        .replace("\nstep_fraction = ", "\nshare = ");
    let (model, _) = old.split_once("[freezing.cache]").unwrap();
    assert!(!model.contains("dtype") && old.contains("\nshare = 1.0"), "{old}");
    folder.write("runs/a/config.toml", &old);
    let ran = folder.finetune(&["train", "--resume", "runs/a"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stderr, "the run runs/a has ended: there is nothing to resume\n");

    // A configuration that differs in nothing but names is the same.
    let mut document = Document::parse(&old).unwrap();
    assert_eq!(document.rename_old_keys().len(), 4);
    assert_eq!(document.table(), &text.parse::<Table>().unwrap());
}
