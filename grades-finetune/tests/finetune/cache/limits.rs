//! Limits, disks that are full, and runs in which storing does not pay.

use tch::Kind;

use super::{cache_flops, classifier, decoder, eval_losses, losses, summary, trained};
use crate::support::{Folder, examples};
use crate::tolerance::{TRAINED_LOSS, assert_number_within};

fn model(folder: &Folder, run: &str) -> Vec<u8> {
    folder.bytes(&format!("runs/{run}/model/model.safetensors"))
}

/// Fails unless all losses are the same up to roundings.
fn assert_same_losses(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_number_within(*found, *expected, TRAINED_LOSS.tolerance(Kind::Float), "loss");
    }
}

#[test]
fn a_file_takes_what_is_beyond_the_memory_and_changes_no_bit() {
    let folder = classifier();
    trained(&folder, "memory", &[]);
    trained(&folder, "file", &["freezing.cache.memory_mib=0"]);
    assert_eq!(model(&folder, "memory"), model(&folder, "file"));
    let bytes = |run| {
        let memory = summary(&folder, run).memory;
        (memory.cache_memory_bytes, memory.cache_file_bytes)
    };
    let (all, none) = bytes("memory");
    assert_eq!((bytes("file"), none), ((0, all), 0));
    // Tokens of 8 numbers of 4 bytes: those of the training rows, and of the others.
    let tokens = |name: &str| -> u64 {
        folder.text(name).lines().map(|line| line.split_whitespace().count() as u64 - 1 + 2).sum()
    };
    assert_eq!(all, (tokens("train.tsv") + tokens("dev.tsv")) * 32);
    // The file has no name, so nothing is left behind.
    let names = folder.names("runs/file");
    assert!(names.iter().all(|name| !name.contains("activations")), "{names:?}");
    assert_eq!(names, folder.names("runs/memory"));
}

#[test]
fn without_room_the_whole_model_runs_and_one_line_says_why() {
    let folder = classifier();
    let none = ["freezing.cache.memory_mib=0", "freezing.cache.disk_mib=0"];
    let run = trained(&folder, "none", &none);
    let said = "step 2: the outputs of the lowest 1 blocks are not stored: the training examples need 1 MiB, the limits \
                allow 0 MiB (freezing.cache)";
    assert_eq!(run.log.notes.iter().filter(|note| *note == said).count(), 1, "{:?}", run.log.notes);
    trained(&folder, "never", &["freezing.cache.mode=never"]);
    assert_eq!(model(&folder, "none"), model(&folder, "never"));
    // Computed in every step, but without dropout.
    trained(&folder, "always", &[&none[..], &["freezing.cache.mode=always"]].concat());
    assert_eq!(cache_flops(&folder, "always"), 0);
    assert_same_losses(&eval_losses(&folder, "always"), &eval_losses(&folder, "never"));
}

#[test]
fn a_last_epoch_stores_nothing() {
    let folder = classifier();
    let run = trained(&folder, "one", &["training.epochs=1"]);
    assert!(!run.log.notes.iter().any(|note| note.contains("begin above")), "{:?}", run.log.notes);
    assert_eq!(summary(&folder, "one").memory.cache_memory_bytes, 0);
    let always = ["training.epochs=1", "freezing.cache.mode=always"];
    trained(&folder, "always", &always);
    assert!(summary(&folder, "always").memory.cache_memory_bytes > 0);
    assert_eq!(cache_flops(&folder, "always"), 0, "no row is seen twice");
}

#[test]
fn a_full_disk_costs_time_and_one_warning() {
    let folder = classifier();
    folder.write("train.tsv", examples(1200));
    let sets = ["freezing.cache.memory_mib=0", "training.epochs=3", "training.batch_size=50"];
    trained(&folder, "whole", &sets);
    let bytes = summary(&folder, "whole").memory.cache_file_bytes;
    assert!(bytes > 200_000, "{bytes}");
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", *set]).collect();
    let arguments = ["train", "--config", "base.toml", "--name", "full", "--no-report"];
    let ran = folder.limited(100, &[&arguments[..], &sets].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let warning = "warning: the outputs of frozen blocks cannot all be stored: File too large";
    assert_eq!(ran.stderr.matches(warning).count(), 1, "{}", ran.stderr);
    let saved = ["whole", "full"].map(|run| cache_flops(&folder, run));
    assert!(saved[1] > 0 && saved[1] < saved[0], "{saved:?}");
    assert_same_losses(&losses(&folder, "full"), &losses(&folder, "whole"));
}

#[test]
fn keys_of_the_cache_are_checked_with_all_others() {
    let folder = classifier();
    let error = folder.run_refused(&["freezing.cache.mode=sometimes"]);
    assert!(error.contains("freezing.cache.mode") && error.contains("auto, always"), "{error}");
    let error = folder.run_refused(&["freezing.cache=3", "freezing.grace=7"]);
    assert!(error.contains("freezing.cache: expected a table, found 3"), "{error}");
    assert!(error.contains("freezing.grace"), "{error}");
    let error = folder.run_refused(&["freezing.cache.memory=3"]);
    assert!(error.contains("freezing.cache.memory: unknown key"), "{error}");
    let error = folder.run_refused(&["freezing.cache.memory_mbi=3"]);
    let hint = "freezing.cache.memory_mbi: unknown key (did you mean \"memory_mib\"?); known: ";
    assert!(error.contains(hint), "{error}");
    let error = folder.run_refused(&["freezing.cahce={}"]);
    assert!(error.contains("freezing.cahce: unknown key (did you mean \"cache\"?)"), "{error}");
    trained(&folder, "run", &["freezing.cache.memory_mib=7"]);
    let config = folder.toml("runs/run/config.toml");
    assert_eq!(config["freezing"]["cache"]["memory_mib"], 7.into());
    assert_eq!(config["freezing"]["cache"]["mode"].as_str(), Some("auto"));
}

#[test]
fn without_freezing_there_is_no_cache() {
    let folder = decoder(serde_json::json!({}));
    let (config, _) = super::DECODER.split_once("[freezing]").unwrap();
    folder.write("base.toml", config);
    let run = trained(&folder, "run", &["lora.target_modules=['q_proj']", "lora.layers_to_transform=[2]"]);
    assert!(!run.log.notes.iter().any(|note| note.contains("begin above")), "{:?}", run.log.notes);
    assert_eq!(cache_flops(&folder, "run"), 0);
}
