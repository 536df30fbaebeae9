//! Runs with and without the cache: the same numbers, and less work.

use grades_finetune::log::summary_table;
use serde_json::json;

use super::{ADAPTERS, CLASSIFIER, classifier, column, decoder, number, says_that_it_begins_above, trained};
use crate::support::Folder;

/// The largest relative difference of losses; roundings of the hidden states grow as weights are trained on them.
const ROUNDINGS: f64 = 1e-5;

fn assert_near(found: &[f64], expected: &[f64], bound: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    assert!(!expected.is_empty());
    for (step, (found, expected)) in found.iter().zip(expected).enumerate() {
        let scale = expected.abs().max(1.0);
        assert!((found - expected).abs() <= bound * scale, "{what}, line {step}: {found} and {expected}");
    }
}

/// Trains with the cache and without; the losses and evaluations must agree, and the FLOPs must fall by what was saved.
fn agree(folder: &Folder, sets: &[&str]) {
    let what = format!("{sets:?}");
    let with = trained(folder, "with", &[sets, &["freezing.cache.mode=auto"]].concat());
    trained(folder, "without", &[sets, &["freezing.cache.mode=never"]].concat());
    assert!(says_that_it_begins_above(&with, 1), "{what}: {:?}", with.log.notes);
    for (log, key) in [("steps.jsonl", "loss"), ("evals.jsonl", "loss"), ("evals.jsonl", "accuracy")] {
        let [found, expected] = ["with", "without"].map(|run| column(folder, run, log, key));
        assert_near(&found, &expected, ROUNDINGS, &format!("{what}: {key} of {log}"));
    }
    let flops = |run, log: &str, key| column(folder, run, log, key).iter().sum::<f64>();
    let saved = number(folder, "with", "cache_flops");
    assert!(saved > 0.0, "{what}");
    assert_eq!(flops("with", "steps.jsonl", "cache_flops"), saved, "{what}");
    assert_eq!(
        flops("with", "steps.jsonl", "flops") + saved,
        flops("without", "steps.jsonl", "flops"),
        "{what}"
    );
    assert_eq!(number(folder, "with", "flops") + saved, number(folder, "without", "flops"), "{what}");
    assert_eq!(
        number(folder, "with", "flops_without_freezing"),
        number(folder, "without", "flops_without_freezing")
    );
    assert!(
        flops("with", "evals.jsonl", "eval_flops") < flops("without", "evals.jsonl", "eval_flops"),
        "{what}"
    );
    assert_eq!(flops("without", "steps.jsonl", "cache_flops"), 0.0);
    assert_eq!(number(folder, "without", "cache_memory_bytes"), 0.0);
    assert!(number(folder, "with", "cache_memory_bytes") > 0.0, "{what}");
    let table = summary_table(&with.summary, &with.files.path);
    let line = table.lines().find(|line| line.starts_with("activation cache ")).unwrap();
    assert!(line.contains(" MiB of memory, saved "), "{line}");
    for run in ["with", "without"] {
        std::fs::remove_dir_all(folder.path(&format!("runs/{run}"))).unwrap();
    }
}

#[test]
fn a_classifier() {
    agree(&classifier(), &[]);
}

#[test]
fn a_classifier_with_adapters_that_are_merged() {
    for merge in ["true", "false"] {
        let merge = format!("lora.merge_frozen={merge}");
        agree(&classifier(), &[&ADAPTERS[..], &[&merge]].concat());
    }
}

#[test]
fn a_decoder_packed_and_computed_twice() {
    let folder = decoder(json!({}));
    agree(&folder, &[]);
    agree(&folder, &["data.packing=true", "training.batch_size=1"]);
    agree(&folder, &["training.activation_checkpointing=true", "training.gradient_accumulation_steps=2"]);
}

#[test]
fn decoders_of_other_classes() {
    let qwen3 = json!({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "sliding_window": 4,
                       "use_sliding_window": true, "max_window_layers": 1});
    agree(&decoder(qwen3), &[]);
    let phi3 = json!({"model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "pad_token_id": 0});
    agree(&decoder(phi3), &["lora.r=2", "lora.merge_frozen=true"]);
}

#[test]
fn adapters_in_the_upper_blocks_alone_leave_the_lower_ones_to_the_cache_from_the_start() {
    let folder = decoder(json!({}));
    let sets = [
        "lora.target_modules=['q_proj','down_proj']",
        "lora.layers_to_transform=[2]",
        "freezing.policy={name='fixed-threshold',tau=1e-9}",
    ];
    let run = trained(&folder, "with", &sets);
    assert!(says_that_it_begins_above(&run, 2), "{:?}", run.log.notes);
    trained(&folder, "without", &[&sets[..], &["freezing.cache.mode=never"]].concat());
    let losses = |run| column(&folder, run, "steps.jsonl", "loss");
    assert_near(&losses("with"), &losses("without"), ROUNDINGS, "losses");
    // Every row is computed once in ten epochs.
    let of_blocks = number(&folder, "with", "cache_flops") / 0.9;
    let of_model = number(&folder, "with", "flops") + number(&folder, "with", "cache_flops");
    assert!(of_blocks < of_model && of_blocks > 0.2 * of_model, "{of_blocks} of {of_model}");
    let saved = column(&folder, "with", "steps.jsonl", "cache_flops");
    assert!(saved[..4].iter().all(|flops| *flops == 0.0), "the first epoch computes them: {saved:?}");
    assert!(saved[4..].iter().all(|flops| *flops > 0.0), "{saved:?}");
}

#[test]
fn half_the_bytes_round_but_train_the_same_model() {
    let folder = classifier();
    trained(&folder, "full", &[]);
    trained(&folder, "half", &["freezing.cache.dtype=bf16"]);
    let bytes = |run| number(&folder, run, "cache_memory_bytes");
    assert_eq!(bytes("full"), 2.0 * bytes("half"));
    let losses = |run| column(&folder, run, "evals.jsonl", "loss");
    assert_ne!(losses("full"), losses("half"));
    assert_near(&losses("half"), &losses("full"), 0.05, "losses");
}

#[test]
fn frozen_blocks_drop_nothing() {
    // With dropout the runs differ, but as much is trained.
    let folder = Folder::new();
    folder.write("base.toml", CLASSIFIER);
    trained(&folder, "with", &[]);
    trained(&folder, "without", &["freezing.cache.mode=never"]);
    let losses = |run| column(&folder, run, "steps.jsonl", "loss");
    let (with, without) = (losses("with"), losses("without"));
    assert_eq!(with[..2], without[..2], "nothing is frozen yet");
    assert_ne!(with[2], without[2], "block 0 drops nothing any more");
    // The same run again: what is dropped above does not depend on what is stored.
    trained(&folder, "disk", &["freezing.cache.memory_mib=0"]);
    assert_eq!(losses("disk"), with);
}

#[test]
fn the_best_weights_are_evaluated_without_what_was_stored_of_others() {
    let folder = classifier();
    let sets = [
        "early_stopping.patience=2",
        "early_stopping.min_delta=0.5",
        "training.eval_every=1",
        "optimizer.lr=0.05",
    ];
    trained(&folder, "with", &sets);
    trained(&folder, "without", &[&sets[..], &["freezing.cache.mode=never"]].concat());
    let losses = |run| column(&folder, run, "evals.jsonl", "loss");
    assert_near(&losses("with"), &losses("without"), ROUNDINGS, "evaluations");
    let restored = folder.json("runs/with/summary.json")["restored_step"].clone();
    assert!(restored.is_u64(), "{restored}");
}
