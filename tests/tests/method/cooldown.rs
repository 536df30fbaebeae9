//! Cooling by decay: a component's learning rate falls before it freezes, and what belongs to no component follows.

use std::collections::BTreeSet;

use grades::FreezingOptimizer;
use grades::config::{Cooling, Followers};
use grades::optim::Hyperparameter::LearningRate;
use grades::optim::InnerOptimizer;
use grades::policy::Cooldown;
use grades::statistic::Statistic;
use grades::tracker::Transition;
use grades_tests::{FreezeAt, Never, ReportExt, Spec, TinyBert, bits, snapshot};
use tch::nn::VarStore;

use crate::support::{Ordered, Rig};

const LR: f64 = 1e-2;
const COOLING: &str = "encoder.layer.0.attention.self.key.weight";

for_every_own_optimizer! {
    a_cooling_component_moves_as_under_its_own_falling_learning_rate;
    the_learning_rate_of_the_run_and_of_groups_is_multiplied;
    nothing_moves_once_its_factor_is_0;
}

/// The factor of a component that was decided after step `from` and cools over `steps` updates, in 16 levels.
fn factor(step: u64, from: u64, steps: u64) -> f64 {
    if step <= from {
        return 1.0;
    }
    if step > from + steps {
        return 0.0;
    }
    levels(1.0 - (step - from) as f64 / (steps + 1) as f64)
}

fn levels(factor: f64) -> f64 {
    if factor > 0.0 { (factor * 16.0).round().max(0.5) / 16.0 } else { 0.0 }
}

/// The cooling component, the rest of its block but the other components, the embeddings, what else is in no block, and
/// all the rest.
fn group(name: &str) -> usize {
    let component = name.ends_with("dense.weight")
        || ["query.weight", "key.weight", "value.weight"].iter().any(|end| name.ends_with(end));
    match name {
        COOLING => 1,
        _ if name.contains("layer.0") && !component => 2,
        _ if name.starts_with("embeddings.") => 4,
        _ if !name.contains("layer.") => 3,
        _ => 0,
    }
}

/// The twin is a bare optimizer whose groups get the learning rates by hand.
fn a_cooling_component_moves_as_under_its_own_falling_learning_rate<O: InnerOptimizer>(
    make: fn(&VarStore) -> O,
) {
    for (cooldown, followers) in
        [1, 4, 9].into_iter().flat_map(|steps| Followers::ALL.map(|all| (steps, all)))
    {
        let model = TinyBert::new(Spec::default());
        let twin = TinyBert::new(Spec { group, ..Spec::default() });
        let config = grades::FreezingConfig::new(FreezeAt::new([("layer.0.attention.self.key", 3)]))
            .with_cooldown(Cooldown::Steps(cooldown))
            .with_cooling(Cooling::Decay)
            .with_followers(followers);
        let mut optimizer = FreezingOptimizer::new(make(&model.vs), &model.vs, &config, 100).unwrap();
        let mut bare = make(&twin.vs);
        for step in 1..=(3 + cooldown + 3) {
            let own = factor(step, 3, cooldown);
            let (block, all) = (levels((5.0 + own) / 6.0), levels((11.0 + own) / 12.0));
            let embeddings = if followers == Followers::WithBlock { block } else { all };
            for (group, factor) in [(1, own), (2, block), (3, all), (4, embeddings)] {
                bare.set(Some(group), LearningRate, LR * factor).unwrap();
            }
            bare.zero_grad().unwrap();
            twin.loss(step).backward();
            bare.step().unwrap();
            let report = optimizer.backward_step(&model.loss(step)).unwrap();
            for (name, variable) in model.variables() {
                let same = bits(variable) == bits(twin.variable(name));
                assert!(same, "{name} after step {step} of a cooldown of {cooldown}");
            }

            let events: Vec<_> = report.events.iter().map(|event| event.event).collect();
            let expected = match step {
                3 => vec![Transition::Cool],
                _ if step == 3 + cooldown => vec![Transition::Freeze],
                _ => vec![],
            };
            assert_eq!(events, expected, "step {step}");
            let standing =
                (usize::from((3..3 + cooldown).contains(&step)), usize::from(step >= 3 + cooldown));
            assert_eq!((report.cooling, report.frozen), standing, "step {step}");
            assert_eq!(model.variable(COOLING).requires_grad(), step < 3 + cooldown);
        }
    }
}

/// With a schedule on top, and groups of other rates.
fn the_learning_rate_of_the_run_and_of_groups_is_multiplied<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let rig = TinyBert::new(Spec { group: |name| usize::from(name.contains("layer.1")), ..Spec::default() });
    let twin = TinyBert::new(Spec {
        group: |name| match name {
            _ if name.contains("layer.1.output.dense.weight") => 2,
            _ => usize::from(name.contains("layer.1")),
        },
        ..Spec::default()
    });
    // Without followers: one component only, all others stay.
    let config = grades::FreezingConfig::new(FreezeAt::new([("layer.1.output", 2)]))
        .with_cooldown(Cooldown::Share { share: 1.5 })
        .with_cooling(Cooling::Decay);
    let mut optimizer = FreezingOptimizer::new(make(&rig.vs), &rig.vs, &config, 100).unwrap();
    let mut bare = make(&twin.vs);
    for step in 1..=5 {
        let (base, upper) = (LR / step as f64, 2.0 * LR / step as f64);
        optimizer.set_lr(base).unwrap();
        optimizer.set_lr_group(1, upper).unwrap();
        bare.set(None, LearningRate, base).unwrap();
        bare.set(Some(1), LearningRate, upper).unwrap();
        bare.set(Some(2), LearningRate, upper * factor(step, 2, 3)).unwrap();
        let report = optimizer.backward_step(&rig.loss(1)).unwrap();
        assert_eq!(report.frozen, usize::from(step == 5), "1.5 times 2 steps");
        bare.zero_grad().unwrap();
        twin.loss(1).backward();
        bare.step().unwrap();
        let name = "encoder.layer.1.output.dense.weight";
        if step <= 3 {
            // Later the gradients differ: the followers of the block have moved less.
            assert_eq!(bits(rig.variable(name)), bits(twin.variable(name)), "step {step}");
        }
    }
}

/// Once all components of a block are frozen, so is in effect what follows them, whatever the weight decay.
fn nothing_moves_once_its_factor_is_0<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    for followers in Followers::ALL {
        let model = TinyBert::new(Spec::default());
        let config = grades::FreezingConfig::new(FreezeAt::new([("layer.0", 2)]))
            .with_cooldown(Cooldown::Steps(2))
            .with_cooling(Cooling::Decay)
            .with_followers(followers);
        let mut optimizer = FreezingOptimizer::new(make(&model.vs), &model.vs, &config, 100).unwrap();
        optimizer.set_weight_decay(0.5).unwrap();
        for batch in 1..=4 {
            optimizer.backward_step(&model.loss(batch)).unwrap();
        }
        assert_eq!(optimizer.tracker().frozen(), 6);
        let then = snapshot(&model.vs);
        for batch in 5..=8 {
            optimizer.backward_step(&model.loss(batch)).unwrap();
        }
        let now = snapshot(&model.vs);
        let still: BTreeSet<&String> = now.keys().filter(|name| now[*name] == then[*name]).collect();
        let stands = |name: &String| {
            let embedding = name.starts_with("embeddings.") && followers == Followers::WithBlock;
            name.contains("layer.0") || embedding
        };
        let expected: BTreeSet<&String> = now.keys().filter(|name| stands(name)).collect();
        assert_eq!(still, expected, "{followers}");
    }
}

#[test]
fn a_cooldown_that_nothing_makes_use_of_changes_no_bit() {
    let twin = TinyBert::new(Spec::default());
    let plain = grades::FreezingConfig::new(Never);
    let mut other =
        FreezingOptimizer::new(crate::optimizers::fused_adamw(&twin.vs), &twin.vs, &plain, 100).unwrap();
    (1..=5).for_each(|batch| drop(other.backward_step(&twin.loss(batch)).unwrap()));
    for cooling in Cooling::ALL {
        let model = TinyBert::new(Spec::default());
        let config = plain.clone().with_cooldown(Cooldown::Steps(3)).with_cooling(cooling);
        let inner = crate::optimizers::fused_adamw(&model.vs);
        let mut optimizer = FreezingOptimizer::new(inner, &model.vs, &config, 100).unwrap();
        (1..=5).for_each(|batch| drop(optimizer.backward_step(&model.loss(batch)).unwrap()));
        assert_eq!(snapshot(&model.vs), snapshot(&twin.vs), "{cooling}");
    }
}

#[test]
fn a_cooling_component_is_not_measured_and_still_trains() {
    let rig = Rig::new();
    let policy = Ordered::reading([Statistic::GradL1, Statistic::SignalFraction]).freezing("single", 2);
    let config = Rig::config(policy).with_cooldown(Cooldown::Steps(3));
    let mut optimizer = rig.wrap(crate::optimizers::fused_adamw(&rig.vs), &config);
    for step in 1..=7 {
        let before = rig.values(&[crate::support::SINGLE]);
        let report = optimizer.backward_step(&rig.loss(&rig.gradients(step))).unwrap();
        let samples: Vec<bool> = report.snapshot().unwrap().samples().iter().map(Option::is_some).collect();
        assert_eq!(samples, [step <= 2, true], "step {step}");
        assert_eq!(rig.values(&[crate::support::SINGLE]) != before, step <= 5, "step {step}");
    }
}

#[test]
fn a_component_without_a_block_has_followers_in_all() {
    // `outside.bias` is in no block: it follows the mean of both components.
    let (rig, twin) = (Rig::new(), Rig::new());
    let policy = Ordered::reading([Statistic::GradL1]).freezing("single", 1).freezing("single", 2);
    let config = Rig::config(policy).with_cooldown(Cooldown::Steps(1)).with_cooling(Cooling::Decay);
    let mut optimizer = rig.wrap(crate::optimizers::fused_sgd(&rig.vs), &config);
    let mut bare = crate::optimizers::fused_sgd(&twin.vs);
    for step in 1..=6 {
        bare.set(None, LearningRate, LR * levels((1.0 + factor(step, 2, 1)) / 2.0)).unwrap();
        optimizer.backward_step(&rig.loss(&rig.gradients(step))).unwrap();
        bare.zero_grad().unwrap();
        twin.loss(&twin.gradients(step)).backward();
        bare.step().unwrap();
        let outside = [crate::support::OUTSIDE];
        assert_eq!(rig.values(&outside), twin.values(&outside), "step {step}");
    }
}

#[test]
fn at_the_deadline_all_that_is_left_cools() {
    let model = TinyBert::new(Spec::default());
    let config =
        grades::FreezingConfig::new(FreezeAt::new([("layer.0", 4)])).with_cooldown(Cooldown::Steps(3));
    let mut optimizer =
        FreezingOptimizer::new(crate::optimizers::fused_adamw(&model.vs), &model.vs, &config, 20).unwrap();
    let mut events = Vec::new();
    let mut step = 0;
    while !optimizer.should_stop() {
        step += 1;
        events.extend(optimizer.backward_step(&model.loss(step)).unwrap().events);
    }
    assert_eq!(step, 20, "it ends with its last step, all frozen");
    let found: Vec<_> =
        events.iter().map(|event| (event.step, event.layer, event.event, &*event.policy)).collect();
    let expected: Vec<_> = [
        (4, Some(0), Transition::Cool, "freeze-at"),
        (7, Some(0), Transition::Freeze, "freeze-at"),
        (17, Some(1), Transition::Cool, "deadline"),
        (20, Some(1), Transition::Freeze, "deadline"),
    ]
    .into_iter()
    .flat_map(|event| vec![event; 6])
    .collect();
    assert_eq!(found, expected);
}

#[test]
fn checks_that_are_far_apart_do_not_miss_the_deadline() {
    let model = TinyBert::new(Spec::default());
    let config = grades::FreezingConfig::new(Never).with_cooldown(Cooldown::Steps(4)).with_check_every(7);
    let mut optimizer =
        FreezingOptimizer::new(crate::optimizers::fused_adamw(&model.vs), &model.vs, &config, 30).unwrap();
    let mut stopped = 0;
    for step in 1..=30 {
        if optimizer.backward_step(&model.loss(step)).unwrap().should_stop {
            stopped = step;
            break;
        }
    }
    assert_eq!(stopped, 25, "checks are at 7, 14, 21 and 28, and at 28 too few steps would be left");
}
