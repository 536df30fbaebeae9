//! Runs that train adapters, and what is done with them afterwards.

use std::collections::BTreeMap;

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

const LORA: [&str; 7] = ["--lora", "--lora-rank", "2", "--lora-alpha", "5", "--lr", "0.05"];

#[test]
fn a_run_writes_an_adapter_that_logits_and_merge_take() {
    let folder = Folder::new();
    folder.trained(&LORA);
    let mut names = folder.names("runs/base");
    names.retain(|name| !name.ends_with(".jsonl"));
    assert_eq!(
        names,
        ["adapter", "config.toml", "report.html", "summary.json"],
        "no model: the base is where it was"
    );
    assert_eq!(
        folder.names("runs/base/adapter"),
        ["adapter_config.json", "adapter_model.safetensors", "labels.json"]
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
    folder.trained(&LORA);
    let written = folder.toml("runs/base/config.toml");
    let lora = written["lora"].as_table().unwrap();
    assert_eq!(lora.len(), grades_lora::LoraConfig::KEYS.len() + 1);
    assert_eq!((lora["r"].as_integer(), lora["merge_frozen"].as_bool()), (Some(2), Some(false)));
    let ran = folder.finetune(&["train", "--config", "runs/base/config.toml", "--name", "again"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for file in ["adapter/adapter_model.safetensors", "adapter/adapter_config.json"] {
        assert_eq!(
            folder.bytes(&format!("runs/again/{file}")),
            folder.bytes(&format!("runs/base/{file}")),
            "{file}"
        );
    }
    // Full fine-tuning with the same file.
    folder.trained(&["--no-lora", "--name", "full"]);
    assert!(folder.names("runs/full").contains(&"model".to_owned()));
    assert!(!folder.toml("runs/full/config.toml").contains_key("lora"));
}

#[test]
fn the_default_learning_rate_is_that_of_adapters() {
    let folder = Folder::new();
    folder.write(
        "bare.toml",
        "[model]\npath = 'model'\n[data]\ntrain = 'train.tsv'\nmax_tokens = 12\n[training]\nmax_steps = 1\n[lora]",
    );
    let ran = folder.finetune(&["train", "--config", "bare.toml"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(folder.toml("runs/bare/config.toml")["optimizer"]["lr"].as_float(), Some(5e-4));
    assert!(ran.stderr.contains("adapters in 13 layers: "), "{}", ran.stderr);
}

#[test]
fn adapters_freeze_in_pairs_or_apart_and_are_merged_while_others_train() {
    let folder = Folder::with(&Tiny::base().without_dropout());
    let freeze = [
        "--set",
        "freezing.policy.name=quota",
        "--set",
        "freezing.policy={ name = 'quota', max_share = 0.6 }",
    ];
    let run = |name: &str, more: &[&str]| {
        let ran = folder.trained(&[&LORA, &freeze[..], &["--name", name, "--epochs", "4"], more].concat());
        (ran, folder.json(&format!("runs/{name}/summary.json")))
    };
    let (_, plain) = run("plain", &[]);
    let (ran, merged) = run("merged", &["--merge-frozen"]);
    assert_eq!((&plain["components_total"], &merged["components_total"]), (&json!(13), &json!(13)));
    assert!(plain["components_frozen"].as_u64().unwrap() > 3, "{plain}");
    assert_eq!(plain["components_frozen"], merged["components_frozen"]);
    assert!(ran.stderr.contains("merged into their bases: bert."), "{}", ran.stderr);
    // Merging changes rounding only, which Adam makes larger than that of one pass.
    let of = |name: &str| logits(&folder, &["--adapter", &format!("runs/{name}/adapter")]);
    assert_within(&of("merged"), &of("plain"), ADAM_UPDATES, "merged while training");
    let (_, apart) = run("apart", &["--set", "freezing.components.adapters=apart"]);
    assert_eq!(apart["components_total"], json!(26));
    let components: Vec<String> = folder
        .lines("runs/apart/freezes.jsonl")
        .iter()
        .map(|event| event["component"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        components.iter().all(|name| name.contains(".lora_A.") || name.contains(".lora_B.")),
        "{components:?}"
    );
}

#[test]
fn what_is_drawn_afresh_is_saved_though_an_entry_names_only_what_it_is_in() {
    let mut tiny = Tiny::base();
    tiny.tensors.retain(|name, _| !name.starts_with("pooler."));
    let folder = Folder::with(&tiny);
    let save = ["--set", "lora.modules_to_save=['classifier', 'pooler']", "--max-steps", "1"];
    folder.trained(&[&LORA[..], &save].concat());
    let config = folder.json("runs/base/adapter/adapter_config.json");
    assert_eq!(config["modules_to_save"], json!(["classifier", "pooler"]));
    assert_eq!(logits(&folder, &["--adapter", "runs/base/adapter"]).size()[1], 2);
}

#[test]
fn a_run_ends_when_all_adapters_are_frozen() {
    let folder = Folder::new();
    folder.trained(&[&LORA[..], &["--set", FREEZE_ALL]].concat());
    let summary = folder.json("runs/base/summary.json");
    assert_eq!((&summary["ended"], &summary["steps"]), (&json!("all-frozen"), &json!(2)));
    assert_eq!(folder.names("runs/base/adapter").len(), 3);
}

#[test]
fn what_is_wrong_is_said_before_anything_is_written() {
    let folder = Folder::new();
    let refused = |assignments: &[&str]| {
        let set: Vec<&str> = assignments.iter().flat_map(|a| ["--set", *a]).collect();
        folder.refused(&set)
    };
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
    folder.trained(&[&LORA[..], &["--max-steps", "1"]].concat());
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
