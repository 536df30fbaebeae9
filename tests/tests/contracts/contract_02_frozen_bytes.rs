//! Contract 2: frozen bytes never move again, whatever the caller does.

use std::collections::BTreeSet;

use grades::config::Followers;
use grades::optim::InnerOptimizer;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_tests::{FreezeAt, Never, Spec, TinyBert, bits, snapshot};
use tch::nn::VarStore;

use crate::optimizers;

/// A caller's ways to treat gradients in a loop.
#[derive(Debug, Clone, Copy)]
enum Caller {
    /// `backward_step`.
    BackwardStep,
    /// `backward_step_clip_norm`.
    Clips,
    /// Calls backward and step, and clears nothing, ever.
    NeverClears,
    /// Clears gradients with `Tensor::zero_grad`, which leaves zeros.
    ZeroesTensors,
    /// Clears gradients through the wrapper, calls backward and step.
    ZeroesAll,
    /// Calls `VarStore::unfreeze` before each backward, and clears nothing.
    Unfreezes,
    /// Calls `VarStore::unfreeze`, and clears gradients to zeros.
    UnfreezesAndZeroes,
    /// Steps twice on one backward.
    StepsTwice,
}

const CALLERS: [Caller; 8] = [
    Caller::BackwardStep,
    Caller::Clips,
    Caller::NeverClears,
    Caller::ZeroesTensors,
    Caller::ZeroesAll,
    Caller::Unfreezes,
    Caller::UnfreezesAndZeroes,
    Caller::StepsTwice,
];

/// One round of a caller's loop.
fn round<O: InnerOptimizer>(
    caller: Caller,
    model: &TinyBert,
    optimizer: &mut FreezingOptimizer<O>,
    batch: u64,
) {
    let zero_tensors = || model.variables().for_each(|(_, variable)| variable.shallow_clone().zero_grad());
    match caller {
        Caller::BackwardStep => {
            optimizer.backward_step(&model.loss(batch)).unwrap();
            return;
        }
        Caller::Clips => {
            optimizer.backward_step_clip_norm(&model.loss(batch), 0.1).unwrap();
            return;
        }
        Caller::NeverClears | Caller::StepsTwice => {}
        Caller::ZeroesTensors => zero_tensors(),
        Caller::ZeroesAll => optimizer.zero_grad().unwrap(),
        Caller::Unfreezes => model.vs.shallow_unfreeze(),
        Caller::UnfreezesAndZeroes => {
            model.vs.shallow_unfreeze();
            zero_tensors();
        }
    }
    model.loss(batch).backward();
    optimizer.step().unwrap();
    if matches!(caller, Caller::StepsTwice) {
        optimizer.step().unwrap();
    }
}

/// `VarStore::unfreeze` takes `&mut`, which a model that is lent out does not have.
trait ShallowUnfreeze {
    fn shallow_unfreeze(&self);
}

impl ShallowUnfreeze for VarStore {
    fn shallow_unfreeze(&self) {
        for variable in self.trainable_variables() {
            let _ = variable.set_requires_grad(true);
        }
    }
}

for_every_optimizer! {
    the_bytes_of_a_frozen_component_never_move;
    the_update_of_the_deciding_step_is_applied;
    a_changed_weight_decay_or_momentum_does_not_move_what_is_frozen;
}

fn the_bytes_of_a_frozen_component_never_move<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let frozen = ["encoder.layer.0.attention.self.query.weight", "encoder.layer.1.output.dense.weight"];
    for caller in CALLERS {
        let model = TinyBert::new(Spec::default());
        let policy = FreezeAt::new([("layer.0.attention.self.query", 4), ("layer.1.output.dense", 4)]);
        let config = FreezingConfig::new(policy).with_followers(Followers::Keep);
        let mut optimizer = FreezingOptimizer::new(make(&model.vs), &model.vs, &config, 40).unwrap();
        optimizer.set_weight_decay(0.5).unwrap();
        let mut batch = 0;
        while optimizer.tracker().frozen() < 2 {
            batch += 1;
            round(caller, &model, &mut optimizer, batch);
            assert!(batch < 10, "{caller:?} freezes nothing");
        }
        let then = snapshot(&model.vs);
        for _ in 0..8 {
            batch += 1;
            round(caller, &model, &mut optimizer, batch);
            for name in frozen {
                let variable = model.variable(name);
                assert_eq!(bits(variable), then[name], "{caller:?} moved {name} in round {batch}");
                assert!(!variable.grad().defined(), "{caller:?}: {name} has a gradient");
                assert!(!variable.requires_grad(), "{caller:?}: {name} is awake");
            }
        }
        // All others go on.
        let now = snapshot(&model.vs);
        let same: BTreeSet<&str> =
            now.iter().filter(|(name, bits)| then[*name] == **bits).map(|(name, _)| name.as_str()).collect();
        assert_eq!(same, BTreeSet::from(frozen), "{caller:?}");
    }
}

fn the_update_of_the_deciding_step_is_applied<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let model = TinyBert::new(Spec::default());
    let twin = TinyBert::new(Spec::default());
    let freezing = FreezingConfig::new(FreezeAt::new([("layer.0", 3)])).with_followers(Followers::Keep);
    let mut optimizer = FreezingOptimizer::new(make(&model.vs), &model.vs, &freezing, 10).unwrap();
    let never = FreezingConfig::new(Never);
    let mut unfrozen = FreezingOptimizer::new(make(&twin.vs), &twin.vs, &never, 10).unwrap();
    for step in 1..=3 {
        let before = snapshot(&model.vs);
        let report = optimizer.backward_step(&model.loss(step)).unwrap();
        unfrozen.backward_step(&twin.loss(step)).unwrap();
        assert_eq!(report.events.len(), if step == 3 { 6 } else { 0 });
        assert!(report.events.iter().all(|event| event.step == 3 && event.layer == Some(0)));
        let after = snapshot(&model.vs);
        assert_eq!(after, snapshot(&twin.vs), "step {step}");
        assert_ne!(
            after["encoder.layer.0.output.dense.weight"],
            before["encoder.layer.0.output.dense.weight"]
        );
    }
}

fn a_changed_weight_decay_or_momentum_does_not_move_what_is_frozen<O: InnerOptimizer>(
    make: fn(&VarStore) -> O,
) {
    let model = TinyBert::new(Spec::default());
    let config = FreezingConfig::new(FreezeAt::new([("layer.0", 2)])).with_followers(Followers::Keep);
    let mut optimizer = FreezingOptimizer::new(make(&model.vs), &model.vs, &config, 20).unwrap();
    for batch in 1..=2 {
        optimizer.backward_step(&model.loss(batch)).unwrap();
    }
    let then = snapshot(&model.vs);
    let changes: [fn(&mut FreezingOptimizer<O>); 4] = [
        |optimizer| optimizer.set_weight_decay(0.9).unwrap(),
        |optimizer| optimizer.set_momentum(0.99).unwrap(),
        |optimizer| optimizer.set_momentum(0.0).unwrap(),
        |optimizer| optimizer.set_lr(0.5).unwrap(),
    ];
    for (batch, change) in (3..).zip(changes) {
        change(&mut optimizer);
        optimizer.backward_step(&model.loss(batch)).unwrap();
        for component in optimizer.components().iter().filter(|component| component.layer == Some(0)) {
            let name = format!("{}.weight", component.name);
            assert_eq!(bits(model.variable(&name)), then[&name], "{name}");
        }
    }
}

#[test]
fn frozen_parameters_are_no_trainable_variables_of_the_wrapper() {
    let model = TinyBert::new(Spec::default());
    let config = FreezingConfig::new(FreezeAt::new([("layer.0", 2)])).with_followers(Followers::Keep);
    let mut optimizer =
        FreezingOptimizer::new(optimizers::fused_adamw(&model.vs), &model.vs, &config, 20).unwrap();
    let all = optimizer.trainable_variables().len();
    assert_eq!(all, model.variables().count());
    for batch in 1..=2 {
        optimizer.backward_step(&model.loss(batch)).unwrap();
    }
    let left = optimizer.trainable_variables();
    assert_eq!(left.len(), all - 6);
    assert!(left.iter().all(|variable| variable.requires_grad()));
}

#[test]
fn a_real_unfreeze_of_the_store_does_not_wake_what_is_frozen() {
    let mut model = TinyBert::new(Spec::default());
    let config = FreezingConfig::new(FreezeAt::new([("layer.0", 2)])).with_followers(Followers::Keep);
    let mut optimizer =
        FreezingOptimizer::new(optimizers::tch_adamw(&model.vs), &model.vs, &config, 20).unwrap();
    for batch in 1..=2 {
        optimizer.backward_step(&model.loss(batch)).unwrap();
    }
    let name = "encoder.layer.0.output.dense.weight";
    let then = bits(model.variable(name));
    model.vs.unfreeze();
    assert!(model.variable(name).requires_grad(), "this is what the test is about");
    for batch in 3..=5 {
        optimizer.backward_step(&model.loss(batch)).unwrap();
        assert_eq!(bits(model.variable(name)), then);
    }
    assert!(!model.variable(name).requires_grad());
}
