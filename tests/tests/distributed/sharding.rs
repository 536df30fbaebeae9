//! The optimizer's state divided over the ranks: the same bits as without, a share of the memory, and the same files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use grades::component::{ComponentConfig, ComponentKind};
use grades::distributed::{Buckets, Group, Sharding};
use grades::optim::InnerOptimizer;
use grades::policy::Never;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_tests::{Spec, TinyBert};
use safetensors::SafeTensors;
use tch::nn::{Init, VarStore};
use tch::{Device, Kind, Tensor};

use crate::name;
use crate::processes::{Start, in_ranks, join, run};
use crate::recipe::{Inner, Recipe, Trace, adamw, sgd, state, weights};

const SHARDED: Sharding = Sharding::Optimizer;

/// Policies that between them read every statistic, with clips, thaws and averages.
const TABLES: [(&str, &str, Option<f64>); 7] = [
    ("quota", "[freezing.policy]\nname = 'quota'\nmax_share = 0.8\nwindow = 3", None),
    (
        "thaw",
        "[freezing.policy]\nname = 'thaw'\nperiod = 3\npolicy = { name = 'quota', max_share = 0.7, window = 3 }",
        Some(0.2),
    ),
    (
        "average",
        "[freezing]\ncooldown = 3\ncooling = 'average'\n[freezing.policy]\nname = 'quota'\nmax_share = 0.7\nwindow = 3",
        None,
    ),
    ("signal", "[freezing.policy]\nname = 'signal-fraction'\nfloor = 0.4\nwindow = 3\nhits = 2", Some(0.5)),
    ("two-batch", "[freezing.policy]\nname = 'two-batch'\nfloor = 0.4\nwindow = 3\nhits = 2", None),
    ("progress", "[freezing.policy]\nname = 'no-progress'\nz = 100.0\nhits = 1", None),
    (
        "deltas",
        "[freezing.policy]\nname = 'any-of'\npolicies = [{ name = 'fixed-threshold', metric = 'grad-delta-l1', tau = 0.2 }, { name = 'fixed-threshold', metric = 'weight-delta-l1', tau = 0.02 }]",
        None,
    ),
];

fn recipe(freezing: &'static str, clip: Option<f64>, sharding: Sharding, overlap: bool) -> Recipe {
    let buckets = Recipe::default().buckets.with_sharding(sharding).with_overlap(overlap);
    Recipe { clip, buckets, ..Recipe::freezing(freezing) }
}

/// The tracker, which all ranks have, in place of the moments.
fn tracker<O: InnerOptimizer>(optimizer: &mut FreezingOptimizer<O>) -> Vec<u8> {
    toml::to_string(&optimizer.tracker().state().unwrap()).unwrap().into_bytes()
}

fn train(recipe: &Recipe, make: fn(&VarStore) -> Inner, group: &Group) -> Trace {
    let model = TinyBert::new(Spec::default());
    let optimizer = recipe.optimizer(make(&model.vs), &model, Some(group));
    recipe.train(optimizer, &model, Some(group), tracker, 1..=recipe.steps)
}

/// Returns the courses with and without sharding, by name; hashes are of weights and tracker.
fn courses(group: &Group) -> BTreeMap<String, [Trace; 2]> {
    let mut all = BTreeMap::new();
    for (name, freezing, clip) in TABLES {
        for (make, optimizer) in [(adamw as fn(&VarStore) -> Inner, "adamw"), (sgd, "sgd")] {
            if optimizer == "sgd" && !["quota", "progress"].contains(&name) {
                continue;
            }
            let overlap = name != "average";
            let both = [Sharding::None, SHARDED]
                .map(|sharding| train(&recipe(freezing, clip, sharding, overlap), make, group));
            all.insert(format!("{name}, {optimizer}"), both);
        }
    }
    all
}

/// Contracts 13, 16 and 19 of a sharded run, and that its bits are those of a run that is not.
fn check(world: usize, test: &str) {
    let ends = in_ranks(world, test, |group| serde_json::to_string(&courses(group)).unwrap());
    let ranks: Vec<BTreeMap<String, [Trace; 2]>> =
        ends.iter().map(|end| serde_json::from_str(end.result()).unwrap()).collect();
    for (run, [whole, sharded]) in ranks.iter().flatten() {
        let first = &ranks[0][run][0];
        assert_eq!(whole.hashes, first.hashes, "{run}");
        assert_eq!(sharded.hashes, first.hashes, "{run}");
        assert_eq!(sharded.events, first.events, "{run}");
        assert!(!first.events.is_empty(), "nothing happened in {run}");
        let bytes: Vec<u64> = sharded.traffic.iter().map(|(bytes, ..)| *bytes).collect();
        assert_eq!(bytes, whole.traffic.iter().map(|(bytes, ..)| *bytes).collect::<Vec<_>>(), "{run}");
        // Where all freeze at once no step follows.
        let at_once = run.starts_with("progress");
        assert!(
            at_once || bytes.iter().min() < bytes.first(),
            "{run}: a freeze shrinks the traffic: {bytes:?}"
        );
    }
}

#[test]
fn two_ranks_share_the_state_and_have_the_same_bits() {
    check(2, name!());
}

#[test]
fn three_ranks_share_the_state_and_have_the_same_bits() {
    check(3, name!());
}

#[test]
fn one_rank_is_bitwise_no_group_with_sharding() {
    let ends = in_ranks(1, name!(), |group| {
        for (_, freezing, clip) in TABLES {
            let mut trace = recipe(freezing, clip, SHARDED, true).run(adamw, Some(group));
            trace.traffic.clear();
            assert_eq!(trace, recipe(freezing, clip, Sharding::None, true).run(adamw, None), "{freezing}");
        }
        String::new()
    });
    assert_eq!(ends[0].result(), "");
}

/// The state of each rank is its share of the whole; so are the gradients once they are summed.
#[test]
fn a_rank_has_its_share_of_the_memory() {
    for world in [2usize, 3] {
        let ends = in_ranks(world, name!(), |group| {
            let bytes = [Sharding::None, SHARDED].map(|sharding| {
                let vs = VarStore::new(Device::Cpu);
                let weights: Vec<Tensor> = (0..24)
                    .map(|layer| {
                        (vs.root() / "layers" / layer).var("up", &[16, 8 + layer % 5], Init::Const(1.0))
                    })
                    .collect();
                let components =
                    ComponentConfig::default().with_pattern("layers.*", ComponentKind::Up).unwrap();
                let config = FreezingConfig::new(Never).with_components(components);
                let buckets = Buckets::default().with_bytes(2000).with_sharding(sharding);
                let optimizer = FreezingOptimizer::new(adamw(&vs), &vs, &config, 10).unwrap();
                let mut optimizer = optimizer.distributed(group, buckets).unwrap();
                let losses: Vec<Tensor> =
                    weights.iter().map(|weight| weight.square().sum(Kind::Float)).collect();
                optimizer.backward_step(&Tensor::stack(&losses, 0).sum(Kind::Float)).unwrap();
                let memory = optimizer.memory();
                let sent = optimizer.traffic().unwrap().weights;
                [memory.optimizer_state.unwrap(), memory.gradients, memory.parameters, sent]
            });
            serde_json::to_string(&bytes).unwrap()
        });
        let ranks: Vec<[[u64; 4]; 2]> =
            ends.iter().map(|end| serde_json::from_str(end.result()).unwrap()).collect();
        let [state, gradients, parameters, unsharded] = ranks[0][0];
        assert_eq!((gradients, unsharded), (parameters, 0));
        for (what, whole, index) in [("state", state, 0), ("gradients", gradients, 1)] {
            let shares: Vec<u64> = ranks.iter().map(|rank| rank[1][index]).collect();
            assert_eq!(shares.iter().sum::<u64>(), whole, "{what}");
            let mean = whole as f64 / world as f64;
            assert!(
                shares.iter().all(|share| (*share as f64 - mean).abs() < 0.05 * mean),
                "{what}: {shares:?}"
            );
        }
        assert!(ranks.iter().all(|rank| rank[1][2] == parameters && rank[1][3] == parameters), "{ranks:?}");
    }
}

fn files(folder: &Path, name: &str) -> [PathBuf; 2] {
    ["optimizer", "model"].map(|what| folder.join(format!("{name}-{what}.safetensors")))
}

/// The text and the tensors of a file; its header lists both in any order.
fn contents(file: &[u8]) -> (BTreeMap<String, String>, BTreeMap<String, Vec<u8>>) {
    let (_, metadata) = SafeTensors::read_metadata(file).unwrap();
    let tensors = SafeTensors::deserialize(file).unwrap();
    let tensors = tensors.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec()));
    (metadata.metadata().clone().unwrap_or_default().into_iter().collect(), tensors.collect())
}

/// Trains six steps and saves, or loads and trains on; returns the trace.
fn half(group: &Group, folder: &Path, sharding: Sharding, from: Option<&str>, to: &str) -> Trace {
    let recipe = Recipe {
        micro_batches: 6,
        buckets: Buckets::default().with_bytes(1200).with_sharding(sharding),
        ..Recipe::default()
    };
    let mut model = TinyBert::new(Spec::default());
    let mut optimizer = recipe.optimizer(adamw(&model.vs), &model, Some(group));
    if let Some(from) = from {
        let [state_file, weights_file] = files(folder, from);
        model.vs.load(&weights_file).unwrap();
        optimizer.load(&state_file).unwrap();
        optimizer.compare_ranks().unwrap();
        return recipe.train(optimizer, &model, Some(group), tracker, 7..=recipe.steps);
    }
    let mut traffic = Vec::new();
    for step in 1..=6 {
        recipe.step(&mut optimizer, &model, Some(group), step, &mut traffic);
    }
    let [state_file, weights_file] = files(folder, to);
    if group.rank() == 0 {
        optimizer.save(&state_file).unwrap();
        model.vs.save(&weights_file).unwrap();
    } else {
        optimizer.send_state().unwrap();
    }
    group.barrier().unwrap();
    recipe.train(optimizer, &model, Some(group), tracker, 7..=recipe.steps)
}

/// Contract 18, and that the file is the one of a run that is not sharded: either goes on from either.
#[test]
fn the_saved_state_does_not_depend_on_sharding() {
    let folder = tempfile::tempdir().unwrap();
    let test = name!();
    let mut start = Start::all(2);
    start.variables = vec![("GRADES_TEST_FOLDER", folder.path().display().to_string())];
    let ends = run(&start, test, |ranks| {
        let group = join(ranks);
        let folder = PathBuf::from(std::env::var("GRADES_TEST_FOLDER").unwrap());
        let whole = half(&group, &folder, Sharding::None, None, "whole");
        let sharded = half(&group, &folder, SHARDED, None, "sharded");
        assert_eq!((&sharded.hashes, &sharded.events), (&whole.hashes, &whole.events));
        assert!(!whole.events.is_empty());
        if group.rank() == 0 {
            for (one, other) in files(&folder, "whole").iter().zip(files(&folder, "sharded")) {
                let (one, other) = (std::fs::read(one).unwrap(), std::fs::read(other).unwrap());
                assert!(contents(&one) == contents(&other));
            }
        }
        for sharding in [Sharding::None, SHARDED] {
            let resumed = half(&group, &folder, sharding, Some("sharded"), "");
            assert_eq!((&resumed.hashes, &resumed.weights), (&whole.hashes, &whole.weights), "{sharding:?}");
        }
        String::new()
    });
    assert!(ends.iter().all(|end| end.result().is_empty()));
    // Three ranks, and one process, go on from what two saved: up to rounding.
    let close = |found: &[u32], expected: &[u32]| {
        let value = |bits: &u32| f64::from(f32::from_bits(*bits));
        let largest = expected.iter().map(|bits| value(bits).abs()).fold(0.0, f64::max);
        found.iter().zip(expected).all(|(one, two)| (value(one) - value(two)).abs() <= 1e-4 * largest)
    };
    let recipe = Recipe { micro_batches: 6, ..Recipe::default() };
    let mut model = TinyBert::new(Spec::default());
    let mut optimizer = recipe.optimizer(adamw(&model.vs), &model, None);
    let [state_file, weights_file] = files(folder.path(), "sharded");
    model.vs.load(&weights_file).unwrap();
    optimizer.load(&state_file).unwrap();
    let alone = recipe.train(optimizer, &model, None, state, 7..=recipe.steps);
    start.started = vec![0, 1, 2];
    start.world = 3;
    start.variables.push(("GRADES_TEST_THREE", "1".to_owned()));
    let _ = weights(&model);
    let three = three_go_on(&start, "sharding::three_ranks_go_on");
    assert!(close(&three.weights, &alone.weights));
}

fn three_go_on(start: &Start, test: &str) -> Trace {
    let ends = run(start, test, |ranks| {
        let folder = PathBuf::from(std::env::var("GRADES_TEST_FOLDER").unwrap());
        serde_json::to_string(&half(&join(ranks), &folder, SHARDED, Some("sharded"), "")).unwrap()
    });
    serde_json::from_str(ends[0].result()).unwrap()
}

/// The ranks of [`the_saved_state_does_not_depend_on_sharding`] that go on; nothing by itself.
#[test]
fn three_ranks_go_on() {
    if std::env::var_os("GRADES_TEST_THREE").is_some() {
        three_go_on(&Start::all(3), name!());
    }
}
