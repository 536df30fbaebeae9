//! Runs that train adapters, and what is done with them afterwards.

use std::collections::BTreeMap;

use grades_finetune::records::StopReason;
use serde_json::json;
use tch::{Kind, Tensor};

use crate::support::{FREEZE_ALL, Folder, Ran, Tiny};
use crate::tolerance::{ADAM_UPDATES, TINY_BERT, assert_within};

fn tensors(folder: &Folder, name: &str) -> BTreeMap<String, Tensor> {
    Tensor::read_safetensors(folder.path(name)).unwrap().into_iter().collect()
}

/// The logits of some token ids.
fn logits(folder: &Folder, arguments: &[&str]) -> Tensor {
    folder.write("ids.json", "[[2, 4, 6, 3], [2, 5, 7, 8, 9, 3]]");
    let out = ["--ids", "ids.json", "--out", "out.safetensors"];
    let ran = folder.finetune(&[&["logits"], arguments, &out].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    tensors(folder, "out.safetensors").remove("logits").unwrap()
}

const LORA: [&str; 3] = ["lora.r=2", "lora.lora_alpha=5", "optimizer.lr=0.05"];

#[test]
fn a_run_writes_an_adapter_that_logits_and_merge_take() {
    let folder = Folder::new();
    folder.trained(&["--lora", "--lora-rank", "2", "--lora-alpha", "5", "--lr", "0.05"]);
    let mut names = folder.names("runs/base");
    names.retain(|name| !name.ends_with(".jsonl"));
    assert_eq!(
        names,
        ["adapter", "config.toml", "report.html", "summary.json"],
        "no model: the base is where it was"
    );
    assert_eq!(
        folder.names("runs/base/adapter"),
        ["README.md", "adapter_config.json", "adapter_model.safetensors", "labels.json"]
    );
    let config = folder.json("runs/base/adapter/adapter_config.json");
    assert_eq!(
        (&config["r"], &config["lora_alpha"], &config["task_type"], &config["modules_to_save"]),
        (&json!(2), &json!(5), &json!("SEQ_CLS"), &json!(["classifier"]))
    );
    assert_eq!(config["base_model_name_or_path"], "model");
    assert_eq!(config["target_modules"].as_array().unwrap().len(), 13, "all linear layers but the head");
    assert_eq!(folder.json("runs/base/adapter/labels.json"), json!(["no", "yes"]));

    let adapted = logits(&folder, &["--adapter", "runs/base/adapter"]);
    let ran = folder.finetune(&["merge", "--adapter", "runs/base/adapter", "--out", "merged"]);
    assert_eq!(ran.stdout, "wrote merged, model with runs/base/adapter merged\n", "{ran:?}");
    let merged = logits(&folder, &["--model", "merged"]);
    assert_within(&merged, &adapted, TINY_BERT.tolerance(Kind::Float), "merged");
    assert_eq!(folder.json("merged/config.json")["id2label"], json!({"0": "no", "1": "yes"}));
    assert!(folder.names("merged").contains(&"tokenizer.json".to_owned()));

    // What no adapter is in is the base's, byte for byte; all else has moved.
    let (base, merged) =
        (tensors(&folder, "model/model.safetensors"), tensors(&folder, "merged/model.safetensors"));
    for (name, before) in &base {
        let after = &merged[&format!("bert.{name}")];
        let adapted =
            name.ends_with(".weight") && !name.contains("LayerNorm") && !name.contains("embeddings");
        assert_eq!(after.equal(before), !adapted, "{name}");
    }
}

#[test]
fn the_written_configuration_repeats_the_run() {
    let folder = Folder::new();
    let run = folder.run(&LORA);
    let written = run.files.config();
    let lora = written["lora"].as_table().unwrap();
    assert_eq!(lora.len(), grades_lora::LoraConfig::KEYS.len() + 1);
    assert_eq!((lora["r"].as_integer(), lora["merge_frozen"].as_bool()), (Some(2), Some(false)));
    folder.write("base.toml", run.files.bytes("config.toml"));
    let again = folder.run(&[]);
    for file in ["adapter/adapter_model.safetensors", "adapter/adapter_config.json"] {
        assert_eq!(again.files.bytes(file), run.files.bytes(file), "{file}");
    }
    // Full fine-tuning with the same file.
    folder.trained(&["--no-lora", "--name", "full"]);
    assert!(folder.names("runs/full").contains(&"model".to_owned()));
    assert!(!folder.files("full").config().contains_key("lora"));
}

#[test]
fn the_default_learning_rate_is_that_of_adapters() {
    let folder = Folder::new();
    folder.write(
        "base.toml",
        "[output]\nfolder = 'runs'\n[model]\npath = 'model'\n[data]\ntrain = 'train.tsv'\nmax_tokens = 12\n\
         [training]\nmax_steps = 1\n[lora]",
    );
    let run = folder.run(&[]);
    assert_eq!(run.files.config()["optimizer"]["lr"].as_float(), Some(5e-4));
    let notes = run.log.notes;
    assert!(notes.iter().any(|note| note.starts_with("adapters in 13 layers: ")), "{notes:?}");
}

#[test]
fn adapters_freeze_in_pairs_or_apart_and_are_merged_while_others_train() {
    let folder = Folder::with(&Tiny::base().without_dropout());
    let policy = "freezing.policy={ name = 'quota', max_share = 0.6 }";
    let run = |own: &str| folder.run(&[&LORA[..], &[policy, "training.epochs=4", own]].concat());
    let plain = run("output.name=plain");
    let arguments =
        ["--merge-frozen", "--lora-rank", "2", "--lora-alpha", "5", "--lr", "0.05", "--epochs", "4"];
    let ran = folder.trained(&[&arguments[..], &["--set", policy, "--name", "merged"]].concat());
    let (plain, merged) = (plain.summary.freezing, folder.files("merged").summary().freezing);
    assert_eq!((plain.components_total, merged.components_total), (13, 13));
    assert!(plain.components_frozen > 3, "{plain:?}");
    assert_eq!(plain.components_frozen, merged.components_frozen);
    assert!(ran.stderr.contains("merged into their bases: bert."), "{}", ran.stderr);
    // Merging changes rounding only, which Adam makes larger than that of one pass.
    let of = |name: &str| logits(&folder, &["--adapter", &format!("runs/{name}/adapter")]);
    assert_within(&of("merged"), &of("plain"), ADAM_UPDATES, "merged while training");
    let apart = run("freezing.components.adapters=apart");
    assert_eq!(apart.summary.freezing.components_total, 26);
    let freezes = apart.files.freezes();
    let of_one = |name: &str| name.contains(".lora_A.") || name.contains(".lora_B.");
    assert!(freezes.iter().all(|event| of_one(&event.component)), "{freezes:?}");
}

#[test]
fn what_is_drawn_afresh_is_saved_though_an_entry_names_only_what_it_is_in() {
    let mut tiny = Tiny::base();
    tiny.tensors.retain(|name, _| !name.starts_with("pooler."));
    let folder = Folder::with(&tiny);
    folder.run(
        &[&LORA[..], &["lora.modules_to_save=['classifier', 'pooler']", "training.max_steps=1"]].concat(),
    );
    let config = folder.json("runs/base/adapter/adapter_config.json");
    assert_eq!(config["modules_to_save"], json!(["classifier", "pooler"]));
    assert_eq!(logits(&folder, &["--adapter", "runs/base/adapter"]).size()[1], 2);
}

#[test]
fn a_run_ends_when_all_adapters_are_frozen() {
    let folder = Folder::new();
    let run = folder.run(&[&LORA[..], &[FREEZE_ALL]].concat());
    assert_eq!((run.summary.ended, run.summary.steps.steps), (StopReason::AllFrozen, 2));
    assert_eq!(folder.names("runs/base/adapter").len(), 4);
}

#[test]
fn what_is_wrong_is_said_before_anything_is_written() {
    let folder = Folder::new();
    let refused = |assignments: &[&str]| folder.run_refused(assignments);
    let error = refused(&["lora.rank=8"]);
    assert!(error.starts_with("lora.rank: unknown key"), "{error}");
    let error = refused(&["lora.r=0", "lora.lora_dropout=1.5", "lora.merge_frozen=sometimes"]);
    for words in [
        "lora.r: expected a rank of at least 1",
        "lora.lora_dropout: ",
        "lora.merge_frozen: expected false, true",
    ] {
        assert!(error.contains(words), "{words}: {error}");
    }
    let error = refused(&["lora.target_modules=['q_proj']"]);
    let words =
        "matches none of the model's linear layers; they are: bert.encoder.layer.0.attention.self.query, ";
    assert!(error.contains(words), "{error}");
    let error = refused(&["lora.r=9"]);
    assert!(error.contains("layer \"bert.encoder.layer.0.attention.self.query\": a rank of 9"), "{error}");
    let both = folder.train(&["--lora", "--no-lora"]);
    assert_eq!(both.code, Some(2), "{both:?}");
}

#[test]
fn merge_and_logits_say_what_is_missing() {
    let folder = Folder::new();
    folder.run(&[&LORA[..], &["training.max_steps=1"]].concat());
    let failed = |arguments: &[&str], words: &str| {
        let ran: Ran = folder.finetune(arguments);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.error().contains(words), "{words}: {ran:?}");
    };
    let merge = ["merge", "--adapter", "runs/base/adapter", "--out"];
    failed(&[&merge[..], &["runs"]].concat(), "runs is there already and not empty");
    failed(&["merge", "--adapter", "nowhere", "--out", "merged"], "cannot read nowhere/adapter_config.json");
    failed(&[&merge[..], &["merged", "--model", "nothing"]].concat(), "nothing/config.json");
    std::fs::rename(folder.path("model"), folder.path("moved")).unwrap();
    failed(
        &[&merge[..], &["merged"]].concat(),
        "names no base model that is a folder here; give it (--model DIR)",
    );
    assert!(folder.names("merged").is_empty());
    let ran = folder.finetune(&[&merge[..], &["merged", "--model", "moved", "--dtype", "bf16"]].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(folder.json("merged/config.json")["dtype"], "bfloat16");
    // An adapter that brings no head, on a base that has none.
    let path = folder.path("runs/base/adapter/adapter_config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["modules_to_save"] = json!(null);
    std::fs::write(&path, config.to_string()).unwrap();
    failed(&[&merge[..], &["again", "--model", "moved"]].concat(), "classifier");
}
