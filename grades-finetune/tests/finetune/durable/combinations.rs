//! Kills in runs with every combination of adapters, merging, early stopping, averaging and gradient accumulation.

use crate::durable::faults::{Fault, Scenario};
use crate::durable::long_or;
use crate::durable::numbers::Numbers;
use crate::support::Folder;

/// The features, by the assignments that switch them on.
const FEATURES: [(&str, &[&str]); 5] = [
    ("adapters", &["lora.r=2", "lora.lora_dropout=0.2"]),
    ("merging", &["lora.merge_frozen=true"]),
    (
        "early stopping",
        &["early_stopping.patience=4", "early_stopping.min_delta=0.001", "training.eval_every=2"],
    ),
    ("averaging", &["freezing.cooling='average'"]),
    ("accumulation", &["training.gradient_accumulation_steps=2", "training.batch_size=4"]),
];

/// Freezes most components over the run, some of them after a cool-down.
const FREEZING: [&str; 3] =
    ["freezing.policy={name='quota',max_share=0.8,window=1}", "freezing.cooldown=2", "optimizer.lr=5e-3"];

#[test]
fn kills_in_all_combinations_of_features_lose_nothing() {
    let mut numbers = Numbers::new(11);
    // Merging is of adapters.
    let mut combinations: Vec<usize> =
        (0..1 << FEATURES.len()).filter(|chosen| chosen & 2 == 0 || chosen & 1 == 1).collect();
    if let Some(few) = long_or(None, Some(2)) {
        // The last one has all features.
        combinations = std::iter::repeat_with(|| combinations[numbers.below(combinations.len() - 1)])
            .take(few - 1)
            .chain(combinations.last().copied())
            .collect();
    }
    let mut kills = 0;
    for &chosen in &combinations {
        let features = || FEATURES.iter().enumerate().filter(|(bit, _)| chosen >> bit & 1 == 1);
        let names: Vec<&str> = features().map(|(_, (name, _))| *name).collect();
        let sets = FREEZING.iter().chain(features().flat_map(|(_, (_, sets))| *sets));
        let sets: Vec<&str> = sets.flat_map(|set| ["--set", *set]).collect();
        let rest = ["--epochs", "4", "--save-every", "3", "--no-report"];
        let Some(scenario) = Scenario::new(Folder::new(), &[&rest, &sets[..]].concat(), false) else {
            return;
        };
        for _ in 0..long_or(12, 1) {
            let at = 1 + numbers.below(scenario.operations());
            scenario.survives(Fault { at, ..Fault::KILL });
            kills += 1;
        }
        println!("{names:?} of {} operations", scenario.operations());
    }
    println!("{kills} kills in {} combinations", combinations.len());
}
