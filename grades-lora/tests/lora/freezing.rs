//! Adapters under GradES: pairs freeze as one, memory comes back, and what froze can be merged.

use grades::component::{AdapterGrouping, ComponentConfig};
use grades::optim::AdamConfig;
use grades::policy::{Cause, Decision, FreezePolicy, FrozenObservation, Measure, Observation};
use grades::statistic::{Statistic, StatisticSet};
use grades::tracker::StepReport;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_lora::{Adapters, LoraConfig, MergeFrozen};
use tch::{Kind, Tensor};

use crate::support::{Net, assert_near, bits, input, plain};
use crate::tolerance::{STATISTIC, assert_number_within};

/// Freezes one component at a step, and thaws it at another.
#[derive(Debug, Clone)]
struct At {
    component: &'static str,
    freeze: u64,
    thaw: u64,
}

impl FreezePolicy for At {
    fn name(&self) -> &'static str {
        "at"
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([Statistic::GradL1])
    }

    fn thaws(&self) -> bool {
        self.thaw > 0
    }

    fn decide_frozen(&mut self, seen: &FrozenObservation<'_>) -> Decision {
        if seen.step != self.thaw {
            return Decision::Keep;
        }
        let measure = Measure::Statistic(Statistic::GradL1);
        Decision::Thaw(Cause::new(self.name(), measure, 0.0, 0.0))
    }

    fn decide(&mut self, seen: &Observation<'_>) -> Decision {
        if !seen.component().name.contains(self.component) {
            return Decision::Keep;
        }
        if seen.step() == self.freeze {
            let value = seen.value(Statistic::GradL1).unwrap_or(f64::NAN);
            return Decision::freeze_below(self.name(), Statistic::GradL1, value, f64::INFINITY);
        }
        Decision::Keep
    }
}

type Optimizer = FreezingOptimizer<grades::optim::AdamW>;

fn train(config: &LoraConfig, policy: At, grouping: AdapterGrouping) -> (Net, Adapters, Optimizer) {
    let mut net = Net::new();
    let mut adapters = Adapters::new();
    adapters.add(&mut net.layers, &net.vs, "default", config).unwrap();
    net.stir("default");
    let inner = AdamConfig::adamw().wd(0.1).build(&net.vs, 0.01).unwrap();
    let components = ComponentConfig::default().with_adapters(grouping);
    let config = FreezingConfig::new(policy).with_components(components);
    let optimizer = FreezingOptimizer::new(inner, &net.vs, &config, 100).unwrap();
    (net, adapters, optimizer)
}

fn step(net: &Net, optimizer: &mut Optimizer) -> StepReport {
    let loss = (net.forward(&input(), true) - 0.5).square().mean(Kind::Float);
    optimizer.backward_step(&loss).unwrap()
}

const UP: At = At { component: "mlp.up", freeze: 2, thaw: 0 };

#[test]
fn the_statistics_of_a_pair_are_taken_over_a_and_b() {
    let (net, _, mut optimizer) = train(&LoraConfig::new(2).alpha(6.0), UP, AdapterGrouping::Together);
    let loss = (net.forward(&input(), true) - 0.5).square().mean(Kind::Float);
    optimizer.backward_accumulate(&loss, 1.0).unwrap();
    let adapter = &net.layers.0[0].1.adapters()[0];
    let l1 = |tensor: &Tensor| f64::try_from(tensor.grad().abs().sum(Kind::Double)).unwrap();
    let expected = l1(adapter.a()) + l1(adapter.b());
    let report = optimizer.step().unwrap();
    let index = optimizer.components().iter().position(|c| c.name == "layers.0.mlp.up").unwrap();
    let measured =
        report.checked.unwrap().snapshot.unwrap().samples()[index].unwrap().get(Statistic::GradL1).unwrap();
    assert_number_within(measured, expected, STATISTIC.tolerance(Kind::Float), "L1 norm of a pair");
}

#[test]
fn a_pair_freezes_as_one_or_apart_and_gives_its_memory_back() {
    let config = LoraConfig::new(2).alpha(6.0).dora(true);
    struct Case {
        grouping: AdapterGrouping,
        policy: At,
        frozen: Vec<bool>,
    }
    for Case { grouping, policy, frozen } in [
        Case { grouping: AdapterGrouping::Together, policy: UP, frozen: vec![true, true, true] },
        Case {
            grouping: AdapterGrouping::Apart,
            policy: At { component: "mlp.up.lora_B", ..UP },
            frozen: vec![false, true, false],
        },
    ] {
        let (net, _, mut optimizer) = train(&config, policy, grouping);
        step(&net, &mut optimizer);
        let before = optimizer.memory();
        step(&net, &mut optimizer);
        let adapter = &net.layers.0[0].1.adapters()[0];
        let found: Vec<bool> = adapter.tensors().map(|tensor| !tensor.requires_grad()).collect();
        assert_eq!(found, frozen);
        let gone: usize = adapter.tensors().filter(|t| !t.requires_grad()).map(|t| t.numel() * 4).sum();
        let after = optimizer.memory();
        assert_eq!(before.gradients - after.gradients, gone as u64);
        // Two moments an element, and a count of steps in f32 a tensor.
        let state = 2 * gone + 4 * frozen.iter().filter(|frozen| **frozen).count();
        assert_eq!(before.optimizer_state.unwrap() - after.optimizer_state.unwrap(), state as u64);
        let bytes: Vec<_> = adapter.tensors().map(bits).collect();
        for _ in 0..3 {
            step(&net, &mut optimizer);
        }
        for ((tensor, bytes), frozen) in adapter.tensors().zip(bytes).zip(frozen) {
            assert_eq!(bits(tensor) == bytes, frozen);
        }
    }
}

#[test]
fn merging_what_froze_changes_neither_outputs_nor_the_training_of_the_rest() {
    for config in [LoraConfig::new(2).alpha(6.0), LoraConfig::new(2).alpha(6.0).dora(true)] {
        let run = |merge: bool| {
            let (mut net, adapters, mut optimizer) = train(&config, UP, AdapterGrouping::Together);
            let mut merged = Vec::new();
            for _ in 0..6 {
                let report = step(&net, &mut optimizer);
                if merge && !report.events.is_empty() {
                    let before = net.forward(&input(), false);
                    merged.extend(MergeFrozen::new().apply(&mut net.layers).unwrap().merged);
                    assert_near(&net.forward(&input(), false), &before, "the same outputs");
                }
            }
            (net, adapters, merged)
        };
        let (plain, _, none) = run(false);
        let (mut with, adapters, merged) = run(true);
        assert_eq!((none.len(), merged), (0, vec!["layers.0.mlp.up".to_owned()]));
        assert!(with.layer(0).adapters()[0].is_merged() && !with.layer(1).adapters()[0].is_merged());
        assert_near(&with.forward(&input(), false), &plain.forward(&input(), false), "after training");
        // The file is the same: what is merged is still there, and the base is what it was.
        let dir = tempfile::tempdir().unwrap();
        adapters.save("default", dir.path()).unwrap();
        let mut fresh = Net::new();
        let options = grades_lora::LoadOptions::default();
        Adapters::new().load(&mut fresh.layers, &fresh.vs, "default", dir.path(), options).unwrap();
        assert_near(&fresh.forward(&input(), false), &with.forward(&input(), false), "loaded");
    }
}

#[test]
fn a_merged_layer_has_nothing_left_to_compute_for_its_adapter() {
    let (mut net, _, mut optimizer) = train(&LoraConfig::new(2), UP, AdapterGrouping::Together);
    for _ in 0..2 {
        step(&net, &mut optimizer);
    }
    MergeFrozen::new().apply(&mut net.layers).unwrap();
    let x = input();
    let y = net.layer(0).forward(&x, true).unwrap();
    assert!(!y.requires_grad(), "no graph");
    assert_eq!(bits(&y), bits(&plain(net.layer(0), &x)));
}

#[test]
fn what_thaws_is_taken_out_of_its_base() {
    let policy = At { thaw: 5, ..UP };
    let (mut net, _, mut optimizer) =
        train(&LoraConfig::new(2).alpha(6.0), policy, AdapterGrouping::Together);
    let original = bits(net.layer(0).weight());
    let mut found = Vec::new();
    for number in 1..8 {
        step(&net, &mut optimizer);
        let merged = MergeFrozen::new().apply(&mut net.layers).unwrap();
        found.extend(merged.merged.iter().map(|_| (number, "merged")));
        found.extend(merged.unmerged.iter().map(|_| (number, "unmerged")));
        assert_eq!(bits(net.layer(0).weight()) == original, !(2..5).contains(&number), "step {number}");
    }
    assert_eq!(found, [(2, "merged"), (5, "unmerged")]);
}
