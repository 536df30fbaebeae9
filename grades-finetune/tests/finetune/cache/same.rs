//! Runs with and without the cache: the same numbers, and less work.

use grades_finetune::log::summary_table;
use grades_finetune::records::StepRecord;
use serde_json::json;

use super::{
    ADAPTERS, CLASSIFIER, assert_near, assert_same_scores, classifier, decoder, eval_losses, evals, losses,
    says_that_it_begins_above, steps, summary, trained,
};
use crate::support::Folder;
use crate::tolerance::BF16_LOSSES;

/// Reads a number of each record of a run.
type Values = fn(&Folder, &str) -> Vec<f64>;

/// Reads a number of a step.
type Count = fn(&StepRecord) -> u128;

/// Trains with the cache and without; the losses and evaluations must agree, and the FLOPs must fall by what was saved.
fn agree(folder: &Folder, sets: &[&str]) {
    let what = format!("{sets:?}");
    let with = trained(folder, "with", &[sets, &["freezing.cache.mode=auto"]].concat());
    trained(folder, "without", &[sets, &["freezing.cache.mode=never"]].concat());
    assert!(says_that_it_begins_above(&with, 1), "{what}: {:?}", with.log.notes);
    let both = |values: Values| ["with", "without"].map(|run| values(folder, run));
    let accuracies =
        |folder: &Folder, run: &str| evals(folder, run, |record| record.evaluation.accuracy.unwrap_or(0.0));
    let scores: [(&str, Values); 3] =
        [("losses", losses), ("losses of evaluations", eval_losses), ("accuracies", accuracies)];
    for (name, values) in scores {
        let [found, expected] = both(values);
        assert_same_scores(&found, &expected, &format!("{what}: {name}"));
    }
    let [of_with, of_without] = ["with", "without"].map(|run| summary(folder, run));
    let sum = |run, value: Count| steps(folder, run, value).iter().sum::<u128>();
    let (flops, saved_flops): (Count, Count) = (|step| step.work.flops, |step| step.work.cache_flops);
    let saved = of_with.flops.cache_flops;
    assert!(saved > 0, "{what}");
    assert_eq!(sum("with", saved_flops), saved, "{what}");
    assert_eq!(sum("with", flops) + saved, sum("without", flops), "{what}");
    assert_eq!(of_with.flops.flops + saved, of_without.flops.flops, "{what}");
    assert_eq!(of_with.flops.flops_without_freezing, of_without.flops.flops_without_freezing);
    let evaluations = |run| evals(folder, run, |record| record.evaluation.flops).iter().sum::<u128>();
    assert!(evaluations("with") < evaluations("without"), "{what}");
    assert_eq!(sum("without", saved_flops), 0);
    assert_eq!(of_without.memory.cache_memory_bytes, 0);
    assert!(of_with.memory.cache_memory_bytes > 0, "{what}");
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
    assert_same_scores(&losses(&folder, "with"), &losses(&folder, "without"), "losses");
    // Every row is computed once in ten epochs.
    let flops = summary(&folder, "with").flops;
    let of_blocks = flops.cache_flops as f64 / 0.9;
    let of_model = (flops.flops + flops.cache_flops) as f64;
    assert!(of_blocks < of_model && of_blocks > 0.2 * of_model, "{of_blocks} of {of_model}");
    let saved = steps(&folder, "with", |step| step.work.cache_flops);
    assert!(saved[..4].iter().all(|flops| *flops == 0), "the first epoch computes them: {saved:?}");
    assert!(saved[4..].iter().all(|flops| *flops > 0), "{saved:?}");
}

#[test]
fn half_the_bytes_round_but_train_the_same_model() {
    let folder = classifier();
    trained(&folder, "full", &[]);
    trained(&folder, "half", &["freezing.cache.dtype=bf16"]);
    let bytes = |run| summary(&folder, run).memory.cache_memory_bytes;
    assert_eq!(bytes("full"), 2 * bytes("half"));
    let losses = |run| eval_losses(&folder, run);
    assert_ne!(losses("full"), losses("half"));
    assert_near(&losses("half"), &losses("full"), BF16_LOSSES, "losses");
}

#[test]
fn frozen_blocks_drop_nothing() {
    // With dropout the runs differ, but as much is trained.
    let folder = Folder::new();
    folder.write("base.toml", CLASSIFIER);
    trained(&folder, "with", &[]);
    trained(&folder, "without", &["freezing.cache.mode=never"]);
    let losses = |run| losses(&folder, run);
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
    assert_same_scores(&eval_losses(&folder, "with"), &eval_losses(&folder, "without"), "evaluations");
    assert!(summary(&folder, "with").best.restored_step.is_some());
}
