//! Cooling by averaging: a component freezes at the mean of its weights, and what belongs to no component follows.

use grades::config::{Cooling, Followers};
use grades::optim::InnerOptimizer;
use grades::policy::Cooldown;
use grades::statistic::Statistic;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_tests::tolerance::weight_mean;
use grades_tests::{FreezeAt, Spec, TinyBert, bits};
use proptest::prelude::*;
use tch::Kind;
use tch::nn::VarStore;

use crate::optimizers;
use crate::support::{OUTSIDE, Ordered, PAIR, Rig, SINGLE, doubles};

for_every_own_optimizer! {
    a_component_and_its_followers_freeze_at_the_means_of_their_weights;
    frozen_means_do_not_move;
}

/// Fails unless all values are as expected to some roundings of a kind.
fn assert_close(found: &[f64], expected: &[f64], kind: Kind, what: &str) {
    let share = weight_mean(kind);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() <= share * (expected.abs() + 0.1),
            "{what}: {found} is not {expected}"
        );
    }
}

/// The mean of the values after some steps, each with its weight. The list begins with those after step 1.
fn mean(values: &[Vec<f64>], weights: impl IntoIterator<Item = (u64, f64)>) -> Vec<f64> {
    let (mut sum, mut total) = (vec![0.0; values[0].len()], 0.0);
    for (step, weight) in weights {
        let values = &values[usize::try_from(step).unwrap() - 1];
        sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
        total += weight;
    }
    sum.into_iter().map(|sum| sum / total).collect()
}

/// The steps of a cooldown, the k-th with the weight k.
fn growing(from: u64, steps: u64) -> impl Iterator<Item = (u64, f64)> {
    (1..=steps).map(move |k| (from + k, k as f64))
}

/// The twin is a bare optimizer: until the first freeze, averaging changes no bit.
fn a_component_and_its_followers_freeze_at_the_means_of_their_weights<O: InnerOptimizer>(
    make: fn(&VarStore) -> O,
) {
    for followers in Followers::ALL {
        let (from, cooldown) = (3, 4);
        let (model, twin) = (TinyBert::new(Spec::default()), TinyBert::new(Spec::default()));
        let config = FreezingConfig::new(FreezeAt::new([("layer.0", from)]))
            .with_cooldown(Cooldown::Steps(cooldown))
            .with_cooling(Cooling::Average)
            .with_followers(followers);
        let mut optimizer = FreezingOptimizer::new(make(&model.vs), &model.vs, &config, 100).unwrap();
        let mut bare = make(&twin.vs);
        let names: Vec<String> = twin.variables().map(|(name, _)| name.to_owned()).collect();
        let mut values = vec![Vec::new(); names.len()];
        for step in 1..=from + cooldown {
            bare.zero_grad().unwrap();
            twin.loss(step).backward();
            bare.step().unwrap();
            optimizer.backward_step(&model.loss(step)).unwrap();
            for (name, values) in names.iter().zip(&mut values) {
                values.push(doubles(twin.variable(name)));
                let same = bits(model.variable(name)) == bits(twin.variable(name));
                assert!(same || step == from + cooldown, "{name} after step {step}");
            }
        }
        assert_eq!(optimizer.tracker().frozen(), 6);
        for (name, values) in names.iter().zip(&values) {
            let component = name.ends_with("dense.weight")
                || ["query.weight", "key.weight", "value.weight"].iter().any(|end| name.ends_with(end));
            let closes = followers == Followers::WithBlock;
            let averaged = name.contains("layer.0") && (component || closes)
                || closes && name.starts_with("embeddings.");
            if averaged {
                let expected = mean(values, growing(from, cooldown));
                assert_close(&doubles(model.variable(name)), &expected, Kind::Float, name);
            } else {
                assert!(bits(model.variable(name)) == bits(twin.variable(name)), "{name}");
            }
        }
    }
}

fn frozen_means_do_not_move<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let model = TinyBert::new(Spec::default());
    let config = FreezingConfig::new(FreezeAt::new([("layer.0", 2)]))
        .with_cooldown(Cooldown::Steps(3))
        .with_cooling(Cooling::Average);
    let mut optimizer = FreezingOptimizer::new(make(&model.vs), &model.vs, &config, 100).unwrap();
    (1..=5).for_each(|step| drop(optimizer.backward_step(&model.loss(step)).unwrap()));
    let then = doubles(model.variable("encoder.layer.0.attention.self.key.weight"));
    assert_eq!(optimizer.tracker().frozen(), 6);
    (6..=9).for_each(|step| drop(optimizer.backward_step(&model.loss(step)).unwrap()));
    assert_eq!(doubles(model.variable("encoder.layer.0.attention.self.key.weight")), then);
}

/// Gradients that do not depend on the weights, so that a bare optimizer goes where the wrapped one does.
struct Paths {
    single: Vec<Vec<f64>>,
    pair: Vec<Vec<f64>>,
    outside: Vec<Vec<f64>>,
}

fn paths<O: InnerOptimizer>(kind: Kind, make: fn(&VarStore) -> O, steps: u64) -> Paths {
    let rig = Rig::of_kind(kind);
    let mut bare = make(&rig.vs);
    let mut paths = Paths { single: Vec::new(), pair: Vec::new(), outside: Vec::new() };
    for step in 1..=steps {
        bare.zero_grad().unwrap();
        rig.loss(&rig.gradients(step)).backward();
        bare.step().unwrap();
        paths.single.push(rig.values(&[SINGLE]));
        paths.pair.push(rig.values(&PAIR));
        paths.outside.push(rig.values(&[OUTSIDE]));
    }
    paths
}

fn config(single: u64, pair: u64, cooldown: u64) -> FreezingConfig {
    let policy = Ordered::reading([Statistic::GradL1]).freezing("single", single).freezing("pair", pair);
    Rig::config(policy).with_cooldown(Cooldown::Steps(cooldown)).with_cooling(Cooling::Average)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever is decided when, and for how long it cools.
    #[test]
    fn what_is_in_no_block_is_averaged_with_the_mean_weight_of_the_components(
        single in 2u64..9,
        pair in 2u64..9,
        cooldown in 1u64..8,
        kind in prop::sample::select(vec![Kind::Float, Kind::Double, Kind::BFloat16, Kind::Half]),
    ) {
        let last = single.max(pair) + cooldown;
        let paths = paths(kind, optimizers::fused_adamw, last);
        let rig = Rig::of_kind(kind);
        let mut optimizer = rig.wrap(optimizers::fused_adamw(&rig.vs), &config(single, pair, cooldown));
        for step in 1..=last {
            let report = optimizer.backward_step(&rig.loss(&rig.gradients(step))).unwrap();
            prop_assert_eq!(report.should_stop, step == last);
        }
        assert_close(&rig.values(&[SINGLE]), &mean(&paths.single, growing(single, cooldown)), kind, "single");
        assert_close(&rig.values(&PAIR), &mean(&paths.pair, growing(pair, cooldown)), kind, "pair");
        let since = |step: u64| (step.saturating_sub(single) + step.saturating_sub(pair)) as f64 / 2.0;
        let weights = (1..=last).map(|step| (step, since(step))).filter(|(_, weight)| *weight > 0.0);
        assert_close(&rig.values(&[OUTSIDE]), &mean(&paths.outside, weights), kind, "outside");
    }
}

#[test]
fn tchs_own_optimizers_can_cool_by_averaging() {
    for make in [optimizers::tch_adamw, optimizers::tch_adam, optimizers::tch_sgd] {
        let paths = paths(Kind::Float, make, 6);
        let rig = Rig::new();
        let mut optimizer = rig.wrap(make(&rig.vs), &config(2, 3, 3));
        (1..=6).for_each(|step| drop(optimizer.backward_step(&rig.loss(&rig.gradients(step))).unwrap()));
        assert_close(&rig.values(&[SINGLE]), &mean(&paths.single, growing(2, 3)), Kind::Float, "single");
        assert_close(&rig.values(&PAIR), &mean(&paths.pair, growing(3, 3)), Kind::Float, "pair");
    }
}

#[test]
fn a_run_that_ends_early_can_apply_its_means_so_far() {
    let paths = paths(Kind::Float, optimizers::fused_sgd, 6);
    let rig = Rig::new();
    let mut optimizer = rig.wrap(optimizers::fused_sgd(&rig.vs), &config(2, 4, 20));
    (1..=6).for_each(|step| drop(optimizer.backward_step(&rig.loss(&rig.gradients(step))).unwrap()));
    assert_eq!(rig.values(&[SINGLE]), paths.single[5], "until then nothing moves");
    optimizer.apply_averages().unwrap();
    assert_close(&rig.values(&[SINGLE]), &mean(&paths.single, growing(2, 4)), Kind::Float, "single");
    assert_close(&rig.values(&PAIR), &mean(&paths.pair, growing(4, 2)), Kind::Float, "pair");
    let weights = [(3, 0.5), (4, 1.0), (5, 2.0), (6, 3.0)];
    assert_close(&rig.values(&[OUTSIDE]), &mean(&paths.outside, weights), Kind::Float, "outside");
    assert_eq!(optimizer.memory().averages, 0);
}

#[test]
fn finish_sets_the_weights_to_their_means_so_far() {
    let paths = paths(Kind::Float, optimizers::fused_sgd, 6);
    let rig = Rig::new();
    let mut optimizer = rig.wrap(optimizers::fused_sgd(&rig.vs), &config(2, 4, 20));
    (1..=6).for_each(|step| drop(optimizer.backward_step(&rig.loss(&rig.gradients(step))).unwrap()));
    let finished = optimizer.finish().unwrap();
    assert!(finished.report.is_none() && finished.observer_errors.is_empty());
    assert_close(&rig.values(&[SINGLE]), &mean(&paths.single, growing(2, 4)), Kind::Float, "single");
    assert_close(&rig.values(&PAIR), &mean(&paths.pair, growing(4, 2)), Kind::Float, "pair");
}

#[test]
fn once_enough_is_frozen_all_means_are_applied() {
    let paths = paths(Kind::Float, optimizers::fused_sgd, 6);
    let rig = Rig::new();
    let mut optimizer = rig.wrap(optimizers::fused_sgd(&rig.vs), &config(2, 4, 4).with_stop_at(0.5));
    let stops: Vec<bool> = (1..=6)
        .map(|step| optimizer.backward_step(&rig.loss(&rig.gradients(step))).unwrap().should_stop)
        .collect();
    assert_eq!(stops, [false, false, false, false, false, true]);
    assert_close(&rig.values(&[SINGLE]), &mean(&paths.single, growing(2, 4)), Kind::Float, "single");
    assert_close(&rig.values(&PAIR), &mean(&paths.pair, growing(4, 2)), Kind::Float, "pair");
}

#[test]
fn means_take_memory_only_while_something_cools() {
    for (kind, bytes) in [(Kind::Float, 4), (Kind::Double, 8), (Kind::BFloat16, 4)] {
        let rig = Rig::of_kind(kind);
        let mut optimizer = rig.wrap(optimizers::fused_adamw(&rig.vs), &config(2, 4, 3));
        let averages: Vec<u64> = (1..=7)
            .map(|step| {
                optimizer.backward_step(&rig.loss(&rig.gradients(step))).unwrap();
                optimizer.memory().averages / bytes
            })
            .collect();
        let (single, pair, outside) = (35, 42, 4);
        let expected = [0, 0, single + outside, single + outside, pair + outside, pair + outside, 0];
        assert_eq!(averages, expected, "{kind:?}");
    }
}

#[test]
fn a_thawed_component_is_averaged_anew() {
    let rig = Rig::new();
    let policy = Ordered::reading([Statistic::GradL1]).freezing("single", 2).thawing("single", 5);
    let policy = policy.freezing("single", 8).freezing("pair", 8);
    let config = Rig::config(policy).with_cooldown(Cooldown::Steps(2)).with_cooling(Cooling::Average);
    let mut optimizer = rig.wrap(optimizers::fused_sgd(&rig.vs), &config);
    let mut seen = Vec::new();
    for step in 1..=10 {
        optimizer.backward_step(&rig.loss(&rig.gradients(step))).unwrap();
        seen.push(rig.values(&[OUTSIDE]));
        if step == 5 {
            assert_eq!(optimizer.memory().averages, 0, "what follows it forgets, too");
        }
    }
    // The last values before the freeze cannot be seen any more: a twin goes on from step 9.
    let twin = Rig::new();
    let mut bare = optimizers::fused_sgd(&twin.vs);
    for step in 1..=10 {
        bare.zero_grad().unwrap();
        twin.loss(&twin.gradients(step)).backward();
        bare.step().unwrap();
    }
    let last = twin.values(&[OUTSIDE]);
    let outside: Vec<f64> = seen[8].iter().zip(last).map(|(one, two)| (one + 2.0 * two) / 3.0).collect();
    assert_close(&seen[9], &outside, Kind::Float, "outside");
}

#[test]
fn a_key_chooses_how_it_cools() {
    let policy = "[freezing.policy]\nname = 'fixed-threshold'\ntau = 1.0\n";
    for (key, expected) in [("", "decay"), ("cooling = 'decay'", "decay"), ("cooling = 'average'", "average")]
    {
        let config = FreezingConfig::from_toml(&format!("[freezing]\n{key}\n{policy}")).unwrap();
        assert_eq!(config.settings()["cooling"].as_str(), Some(expected));
    }
    let error = FreezingConfig::from_toml(&format!("[freezing]\ncooling = 'averge'\n{policy}")).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("freezing.cooling") && error.contains("did you mean \"average\""), "{error}");
}
