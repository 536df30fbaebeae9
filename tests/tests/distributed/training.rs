//! Contracts 12 to 16 and 19: a group trains as one process does, and its ranks stay the same.

use std::collections::BTreeMap;

use grades::distributed::Buckets;
use grades_tests::tolerance::RANKS;

use crate::name;
use crate::processes::in_ranks;
use crate::recipe::{Recipe, Trace, adamw, sgd};

const QUOTA: &str = "[freezing.policy]\nname = 'quota'\nmax_share = 0.8\nwindow = 3";
const THAW: &str =
    "[freezing.policy]\nname = 'thaw'\nperiod = 3\npolicy = { name = 'quota', max_share = 0.7, window = 3 }";
const AVERAGE: &str = "[freezing]\ncooldown = 3\ncooling = 'average'\n[freezing.policy]\nname = 'quota'\nmax_share = 0.7\nwindow = 3";
const SIGNAL: &str = "[freezing.policy]\nname = 'signal-fraction'\nfloor = 0.4\nwindow = 3\nhits = 2";
const TWO_BATCH: &str = "[freezing.policy]\nname = 'two-batch'\nfloor = 0.4\nwindow = 3\nhits = 2";

fn clipped(freezing: &'static str) -> Recipe {
    Recipe { clip: Some(0.2), ..Recipe::freezing(freezing) }
}

/// All courses of one rank, by the run's name.
fn traces(text: &str) -> BTreeMap<String, Trace> {
    serde_json::from_str(text).unwrap()
}

#[test]
fn one_rank_is_bitwise_no_group() {
    let ends = in_ranks(1, name!(), |group| {
        let clear = |mut trace: Trace| {
            trace.traffic.clear();
            trace
        };
        let mut events = 0;
        for recipe in
            [Recipe::default(), clipped(THAW), Recipe::freezing(AVERAGE), Recipe::freezing(TWO_BATCH)]
        {
            let alone = recipe.run(adamw, None);
            events += alone.events.len();
            assert_eq!(clear(recipe.run(adamw, Some(group))), alone, "adamw, {}", recipe.freezing);
        }
        assert!(events > 20, "too little happened: {events}");
        let recipe = Recipe::default();
        assert_eq!(clear(recipe.run(sgd, Some(group))), recipe.run(sgd, None));
        assert_eq!(clear(recipe.run_tch(Some(group))), recipe.run_tch(None));
        String::new()
    });
    assert!(ends.iter().all(|end| end.result().is_empty()));
}

/// The runs that all ranks are compared over: each with and without hooks.
fn runs(group: &grades::distributed::Group) -> BTreeMap<String, Trace> {
    let mut traces = BTreeMap::new();
    for (name, recipe) in [
        ("quota", Recipe::freezing(QUOTA)),
        ("thaw, clipped", clipped(THAW)),
        ("average", Recipe::freezing(AVERAGE)),
        ("signal", Recipe::freezing(SIGNAL)),
        ("two-batch", Recipe::freezing(TWO_BATCH)),
    ] {
        for overlap in [true, false] {
            let recipe = Recipe { buckets: recipe.buckets.clone().with_overlap(overlap), ..recipe.clone() };
            traces.insert(format!("{name}, overlap {overlap}"), recipe.run(adamw, Some(group)));
        }
    }
    let recipe = Recipe::freezing(QUOTA);
    traces.insert("tch".to_owned(), recipe.run_tch(Some(group)));
    traces.insert("sgd".to_owned(), recipe.run(sgd, Some(group)));
    traces
}

/// Checks what must hold for the traces of all ranks.
fn check(ranks: &[BTreeMap<String, Trace>]) {
    let first = &ranks[0];
    for other in &ranks[1..] {
        for (run, trace) in other {
            let expected = &first[run];
            // Contract 13: weights, moments and tracker, after every step.
            assert_eq!(trace.hashes, expected.hashes, "{run}");
            // Contract 16.
            assert_eq!(trace.events, expected.events, "{run}");
        }
    }
    for (run, trace) in first {
        assert!(!trace.events.is_empty(), "nothing happened in {run}");
        // Contract 15.
        if let Some(run) = run.strip_suffix(", overlap true") {
            let late = &first[&format!("{run}, overlap false")];
            assert_eq!((&trace.hashes, &trace.events), (&late.hashes, &late.events), "{run}");
            assert!(late.traffic.iter().all(|(_, _, early, _)| *early == 0), "{run}");
            // The statistics of two batches are taken before anything is sent.
            let overlapped = trace.traffic.iter().any(|(_, _, early, _)| *early > 2);
            assert_eq!(overlapped, run != "two-batch", "{run}: {:?}", trace.traffic);
        }
        // Contract 19: a step sends the gradients of what trains, rounded up to 64 bytes each, and no others.
        for (bytes, buckets, _, gradients) in &trace.traffic {
            assert!(bytes >= gradients && *bytes <= gradients + 64 * 39, "{run}: {bytes} of {gradients}");
            assert!(*bytes < 2400 || *buckets > 1, "{run}: {bytes} in {buckets}");
        }
        let bytes: Vec<u64> = trace.traffic.iter().map(|(bytes, ..)| *bytes).collect();
        assert!(bytes.iter().min() < bytes.first(), "{run}: a freeze shrinks the traffic: {bytes:?}");
    }
}

#[test]
fn two_ranks_stay_the_same_with_and_without_hooks() {
    let ends = in_ranks(2, name!(), |group| serde_json::to_string(&runs(group)).unwrap());
    check(&ends.iter().map(|end| traces(end.result())).collect::<Vec<_>>());
}

#[test]
fn three_ranks_stay_the_same_with_and_without_hooks() {
    let ends = in_ranks(3, name!(), |group| serde_json::to_string(&runs(group)).unwrap());
    check(&ends.iter().map(|end| traces(end.result())).collect::<Vec<_>>());
}

/// The recipes whose course does not hang on the last bit of a statistic.
fn recipes() -> [(&'static str, Recipe); 2] {
    const FIXED: &str = "[freezing]\ngrace = 0.3\n[freezing.policy]\nname = 'fixed-threshold'\ntau = 1e9";
    [
        ("freeze one by one", Recipe { micro_batches: 6, ..Recipe::freezing(QUOTA) }),
        ("all freeze at once", Recipe { micro_batches: 6, clip: Some(0.2), ..Recipe::freezing(FIXED) }),
    ]
}

/// Contract 14: W ranks with k micro-batches are one with W·k.
#[test]
fn ranks_are_further_micro_batches() {
    for world in [2, 3] {
        let ends = in_ranks(world, name!(), |group| {
            let traces: BTreeMap<&str, Trace> =
                recipes().into_iter().map(|(name, recipe)| (name, recipe.run(sgd, Some(group)))).collect();
            serde_json::to_string(&traces).unwrap()
        });
        for (name, recipe) in recipes() {
            let alone = recipe.run(sgd, None);
            let group = &traces(ends[0].result())[name];
            assert_eq!(group.events, alone.events, "{name}");
            let values = |trace: &Trace| -> Vec<f64> {
                trace.weights.iter().map(|bits| f64::from(f32::from_bits(*bits))).collect()
            };
            let (found, expected) = (values(group), values(&alone));
            let largest = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
            let pairs = found.iter().zip(&expected);
            let error = pairs.fold(0.0, |error: f64, (one, two)| error.max((one - two).abs()));
            assert!(error <= RANKS * largest, "{name}, {world} ranks: {error:e} of {largest}");
            assert!(alone.hashes.windows(2).all(|pair| pair[0] != pair[1]), "nothing moved");
        }
    }
}

#[test]
fn a_bucket_of_everything_gives_the_same_on_two_ranks() {
    let ends = in_ranks(2, name!(), |group| {
        let small = Recipe::default().run(adamw, Some(group));
        let one = Recipe { buckets: Buckets::default(), ..Recipe::default() }.run(adamw, Some(group));
        // The sum of two numbers does not depend on their order.
        assert_eq!((small.hashes, small.events), (one.hashes, one.events));
        String::new()
    });
    assert!(ends.iter().all(|end| end.result().is_empty()));
}
