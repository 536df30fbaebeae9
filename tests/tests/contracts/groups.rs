//! Parameter groups, with freezes in the middle of them.

use std::collections::BTreeSet;

use grades::optim::Hyperparameter::{LearningRate, WeightDecay};
use grades::optim::InnerOptimizer;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_tests::{FreezeAt, Spec, TinyBert, bits, snapshot};
use tch::nn::VarStore;
use tch::no_grad;

for_every_optimizer! {
    a_freeze_within_groups_leaves_the_others_as_they_would_have_been;
    a_group_without_a_learning_rate_stands_still;
}

/// The lower block, the upper block, all else.
fn group(name: &str) -> usize {
    if name.contains("layer.0") {
        1
    } else if name.contains("layer.1") {
        2
    } else {
        0
    }
}

/// The twin is not frozen: what should be is set back after every step.
fn a_freeze_within_groups_leaves_the_others_as_they_would_have_been<O: InnerOptimizer>(
    make: fn(&VarStore) -> O,
) {
    let spec = Spec { group, ..Spec::default() };
    let (model, twin) = (TinyBert::new(spec), TinyBert::new(spec));
    let policy = FreezeAt::new([
        ("layer.0.attention.self.key", 3),
        ("layer.1.intermediate", 3),
        ("layer.0.output", 5),
    ]);
    let mut optimizer =
        FreezingOptimizer::new(make(&model.vs), &model.vs, &FreezingConfig::new(policy), 20).unwrap();
    let mut bare = make(&twin.vs);
    for (group, lr) in [(0, 1e-3), (1, 5e-3), (2, 2e-2)] {
        optimizer.set_lr_group(group, lr).unwrap();
        bare.set(Some(group), LearningRate, lr).unwrap();
    }
    optimizer.set_weight_decay_group(1, 0.4).unwrap();
    bare.set(Some(1), WeightDecay, 0.4).unwrap();

    let mut frozen: Vec<String> = Vec::new();
    for step in 1..=10 {
        if step == 7 {
            optimizer.set_lr_group(1, 1e-2).unwrap();
            bare.set(Some(1), LearningRate, 1e-2).unwrap();
        }
        let before: Vec<_> = frozen.iter().map(|name| (name.clone(), twin.variable(name).copy())).collect();
        bare.zero_grad().unwrap();
        twin.loss(step).backward();
        bare.step().unwrap();
        for (name, value) in &before {
            no_grad(|| twin.variable(name).shallow_clone().copy_(value));
        }
        let report = optimizer.backward_step(&model.loss(step)).unwrap();
        frozen.extend(report.events.iter().map(|event| format!("{}.weight", event.component)));
        for (name, variable) in model.variables() {
            let (model, twin) = (bits(variable), bits(twin.variable(name)));
            assert_eq!(model, twin, "{name} after step {step}");
        }
    }
    assert_eq!(frozen.len(), 3);
}

fn a_group_without_a_learning_rate_stands_still<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let model = TinyBert::new(Spec { group, ..Spec::default() });
    let policy = FreezeAt::new([("layer.0.attention", 2)]);
    let mut optimizer =
        FreezingOptimizer::new(make(&model.vs), &model.vs, &FreezingConfig::new(policy), 20).unwrap();
    optimizer.backward_step(&model.loss(1)).unwrap();
    optimizer.backward_step(&model.loss(2)).unwrap();
    optimizer.set_lr_group(1, 0.0).unwrap();
    let then = snapshot(&model.vs);
    optimizer.backward_step(&model.loss(3)).unwrap();
    let now = snapshot(&model.vs);
    let still: BTreeSet<&String> =
        now.iter().filter(|(name, bits)| then[*name] == **bits).map(|(name, _)| name).collect();
    let expected: BTreeSet<&String> = now.keys().filter(|name| group(name) == 1).collect();
    assert_eq!(still, expected);
}

#[test]
fn a_group_that_does_not_exist_is_an_error_that_lists_those_that_do() {
    let model = TinyBert::new(Spec { group, ..Spec::default() });
    let config = FreezingConfig::new(FreezeAt::new([]));
    let inner = crate::optimizers::fused_adamw(&model.vs);
    let mut optimizer = FreezingOptimizer::new(inner, &model.vs, &config, 20).unwrap();
    let error = optimizer.set_lr_group(7, 0.1).unwrap_err().to_string();
    assert_eq!(error, "unknown group \"7\"; known: 0, 1, 2");
    let inner = crate::optimizers::tch_adamw(&model.vs);
    let mut optimizer = FreezingOptimizer::new(inner, &model.vs, &config, 20).unwrap();
    assert!(optimizer.set_lr_group(7, 0.1).is_err());
    // tch panics there, with the store's lock held or not; the wrapper goes on.
    optimizer.backward_step(&model.loss(1)).unwrap();
}
