//! Runs with a cache that are broken off: they go on with the same bits.

use grades::tracker::Transition;
use serde_json::json;

use super::{ADAPTERS, CLASSIFIER, assert_same_scores, cache_flops, classifier, decoder, losses, trained};
use crate::durable::broken::{Result, broken_off, resumed};
use crate::support::{Folder, Tiny, examples};

/// Runs without a break and from checkpoints; returns the whole run.
fn goes_on(folder: &Folder, every: u64, from: &[u64], sets: &[&str]) -> Result {
    let checkpoints = format!("checkpoint.every={every}");
    trained(folder, "whole", &[sets, &[&checkpoints, "checkpoint.keep=99"]].concat());
    let whole = Result::of(folder, "whole");
    for step in from {
        let copy = format!("from-{step}");
        broken_off(folder, "whole", *step, &copy);
        resumed(folder, &copy);
        Result::of(folder, &copy).assert_same(&whole, &format!("{sets:?} from step {step}"));
        std::fs::remove_dir_all(folder.path(&format!("runs/{copy}"))).unwrap();
    }
    assert!(cache_flops(folder, "whole") > 0, "{sets:?}");
    std::fs::remove_dir_all(folder.path("runs/whole")).unwrap();
    whole
}

#[test]
fn a_classifier_with_dropout() {
    // Before the first freeze, between the two, within an epoch after both.
    let folder = Folder::with(&Tiny::base());
    folder.write("train.tsv", examples(24));
    folder.write("base.toml", CLASSIFIER);
    goes_on(&folder, 2, &[2, 6, 14, 26], &[]);
    goes_on(&folder, 5, &[15], &["freezing.cache.memory_mib=0", "training.eval_every=1"]);
}

#[test]
fn adapters_that_are_merged() {
    let sets = ["lora.merge_frozen=true", "lora.lora_dropout=0.1"];
    goes_on(&classifier(), 3, &[6, 18], &[&ADAPTERS[..], &sets].concat());
}

#[test]
fn a_decoder() {
    let folder = decoder(json!({"attention_dropout": 0.1}));
    goes_on(&folder, 3, &[6, 18], &["data.packing=true", "training.batch_size=1"]);
    goes_on(&folder, 4, &[8], &["lora.target_modules=['v_proj']", "lora.layers_to_transform=[2]"]);
}

#[test]
fn blocks_that_thaw_take_what_was_stored_with_them() {
    let folder = classifier();
    let policy = "freezing.policy={name='per-component-type',rules=[\
        {layers=[0,0],policy={name='thaw',period=9,probe=4,policy={name='fixed-threshold',tau=1e9}}},\
        {layers=[1,1],policy={name='thaw',period=5,probe=4,policy={name='fixed-threshold',tau=1e9}}}]}";
    let whole = goes_on(&folder, 3, &[6, 9, 12, 15, 18, 21, 24, 27], &[policy]);
    let events = |kind: Transition| whole.freezes.iter().filter(|event| event.event == kind).count();
    let (thaws, freezes) = (events(Transition::Thaw), events(Transition::Freeze));
    assert!(thaws >= 12 && freezes > thaws, "{:?}", whole.freezes);
    let bytes: Vec<u64> = whole.steps.iter().map(|step| step.memory.cache_bytes).collect();
    let falls = bytes.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!(falls >= 2, "{bytes:?}");

    trained(&folder, "with", &[policy]);
    trained(&folder, "without", &[policy, "freezing.cache.mode=never"]);
    assert_same_scores(&losses(&folder, "with"), &losses(&folder, "without"), "losses");
}
