//! Saving: nothing is lost, and nothing old is damaged.

use std::path::{Path, PathBuf};
use std::process::Command;

use grades_models::bert::{BertClassifier, LoadOptions};
use serde_json::{Value, json};
use tch::Kind;

use crate::support::{Tiny, logits};

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_saved_model_loads_with_the_same_bits() {
    let tiny = Tiny::base();
    std::fs::write(tiny.file("tokenizer.json"), b"{ \"bytes\":  1}\r\n").unwrap();
    std::fs::write(tiny.file("vocab.txt"), b"[PAD]\n\xff").unwrap();
    std::fs::write(tiny.file("README.md"), b"not part of a model").unwrap();
    let model = tiny.write().load();
    let saved = tempfile::tempdir().unwrap();
    let dir = saved.path().join("run").join("model");
    model.save(&dir).unwrap();
    assert_eq!(names(&dir), ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt"]);
    for file in ["tokenizer.json", "vocab.txt"] {
        assert_eq!(std::fs::read(dir.join(file)).unwrap(), std::fs::read(tiny.file(file)).unwrap());
    }

    let (again, report) = BertClassifier::load(&dir, LoadOptions::default()).unwrap();
    assert_eq!(report, Default::default());
    assert_eq!(again.labels(), ["no", "yes"]);
    assert_eq!(logits(&again), logits(&model));

    let config: Value = serde_json::from_slice(&std::fs::read(dir.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["architectures"], json!(["BertForSequenceClassification"]));
    assert_eq!(config["id2label"], json!({"0": "no", "1": "yes"}));
    assert_eq!(config["label2id"], json!({"no": 0, "yes": 1}));
    assert_eq!(config["problem_type"], "single_label_classification");
    assert_eq!(config["dtype"], "float32");
    assert_eq!(config["a_key_of_the_user"], json!([1, 2]));

    let bytes = std::fs::read(dir.join("model.safetensors")).unwrap();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(length % 8, 0);
}

#[test]
fn the_kind_is_kept_and_named() {
    let tiny = Tiny::classifier();
    tiny.write();
    let saved = tempfile::tempdir().unwrap();
    let options = LoadOptions { dtype: Kind::BFloat16, ..LoadOptions::default() };
    let (model, _) = BertClassifier::load(tiny.path(), options.clone()).unwrap();
    model.save(saved.path()).unwrap();
    let config: Value =
        serde_json::from_slice(&std::fs::read(saved.path().join("config.json")).unwrap()).unwrap();
    assert_eq!((&config["dtype"], &config["torch_dtype"]), (&json!("bfloat16"), &json!("bfloat16")));
    let (again, _) = BertClassifier::load(saved.path(), options).unwrap();
    assert_eq!(logits(&again), logits(&model));
}

#[test]
fn a_model_may_be_saved_over_itself() {
    let tiny = Tiny::classifier();
    std::fs::write(tiny.file("tokenizer.json"), b"{}").unwrap();
    let model = tiny.write().load();
    model.save(tiny.path()).unwrap();
    assert_eq!(logits(&tiny.load()), logits(&model));
    assert_eq!(std::fs::read(tiny.file("tokenizer.json")).unwrap(), b"{}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let tiny = Tiny::classifier();
    let model = tiny.write().load();
    // Permissions do not stop root, these do: a file where a folder should be, a folder where a file should be.
    std::fs::write(tiny.file("occupied"), "").unwrap();
    let error = model.save(&tiny.file("occupied").join("model")).unwrap_err().to_string();
    assert!(error.contains("cannot create") && error.contains("occupied"), "{error}");

    let target = tiny.file("target");
    std::fs::create_dir_all(target.join("model.safetensors").join("x")).unwrap();
    let error = model.save(&target).unwrap_err().to_string();
    assert!(error.contains("cannot write") && error.contains("model.safetensors"), "{error}");
    assert_eq!(names(&target), ["model.safetensors"]);
}

#[test]
fn a_full_disk_leaves_the_old_files_whole() {
    // It runs itself once more, under a limit of the system on the size of files.
    if let Some(source) = std::env::var_os("GRADES_TEST_SOURCE").map(PathBuf::from) {
        return save_in_child(&source);
    }
    let tiny = Tiny::classifier();
    std::fs::write(tiny.file("tokenizer.json"), b"{}").unwrap();
    let dir = tiny.file("saved");
    tiny.write().load().save(&dir).unwrap();
    let read = || -> Vec<(String, Vec<u8>)> {
        names(&dir).into_iter().map(|name| (name.clone(), std::fs::read(dir.join(name)).unwrap())).collect()
    };
    let before = read();
    // No file of the child may grow beyond 4 (or, in other shells, 8) KiB; the weights need more.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "save::a_full_disk_leaves_the_old_files_whole", "--nocapture"])
        .env("GRADES_TEST_SOURCE", tiny.path())
        .env("GRADES_TEST_TARGET", &dir)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let expected = format!("cannot write {}: File too large", dir.join("model.safetensors").display());
    assert!(text.contains(&expected), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(read(), before);
}

fn save_in_child(source: &Path) {
    let target = PathBuf::from(std::env::var_os("GRADES_TEST_TARGET").unwrap());
    let (model, _) = BertClassifier::load(source, LoadOptions::default()).unwrap();
    match model.save(&target) {
        Ok(()) => println!("saved"),
        Err(error) => println!("{error}"),
    }
}
