//! Parameters of no component train on, or freeze with their block, so that the backward pass ends earlier.

use grades::component::{ComponentConfig, ComponentKind};
use grades::config::{Followers, Tied};
use grades::optim::{AdamConfig, InnerOptimizer};
use grades::policy::{Cause, Decision, FreezePolicy, FrozenObservation, Observation};
use grades::statistic::{Statistic, StatisticSet};
use grades::{FreezingConfig, FreezingOptimizer};
use grades_tests::tolerance::{TINY_BERT_GRADIENTS, assert_within};
use grades_tests::{FreezeAt, Spec, TinyBert, bits};
use tch::nn::VarStore;
use tch::{Device, Kind, nn};

for_every_optimizer! {
    a_block_that_is_frozen_whole_takes_the_rest_of_it_along;
    gradients_above_a_closed_block_are_those_of_a_model_without_freezes;
}

fn is_below(name: &str) -> bool {
    name.starts_with("embeddings.") || name.contains("layer.0.")
}

fn config(freezes: FreezeAt) -> FreezingConfig {
    FreezingConfig::new(freezes).with_followers(Followers::WithBlock)
}

fn a_block_that_is_frozen_whole_takes_the_rest_of_it_along<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let model = TinyBert::new(Spec::default());
    // Its query freezes later than the rest of block 0.
    let freezes = FreezeAt::new([
        ("layer.0.attention.self.query", 4),
        ("layer.0.attention.self.key", 2),
        ("layer.0.attention.self.value", 2),
        ("layer.0.attention.output", 2),
        ("layer.0.intermediate", 2),
        ("layer.0.output", 2),
    ]);
    let mut optimizer = FreezingOptimizer::new(make(&model.vs), &model.vs, &config(freezes), 100).unwrap();
    let mut then = None;
    for step in 1..=7 {
        optimizer.backward_step(&model.loss(step)).unwrap();
        for (name, variable) in model.variables() {
            let component = optimizer.components().iter().position(|c| format!("{}.weight", c.name) == name);
            let expected = match component {
                Some(index) => optimizer.tracker().is_frozen(index),
                None => step >= 4 && is_below(name),
            };
            assert_eq!(!variable.requires_grad(), expected, "{name} after step {step}");
            assert!(!expected || !variable.grad().defined(), "{name} after step {step}");
        }
        if step >= 4 {
            let now: Vec<Vec<u32>> =
                model.variables().filter(|(name, _)| is_below(name)).map(|(_, v)| bits(v)).collect();
            assert_eq!(*then.get_or_insert_with(|| now.clone()), now, "after step {step}");
        }
    }
}

fn gradients_above_a_closed_block_are_those_of_a_model_without_freezes<O: InnerOptimizer>(
    make: fn(&VarStore) -> O,
) {
    let model = TinyBert::new(Spec::default());
    let freezes = FreezeAt::new([("layer.0", 2)]);
    let mut optimizer = FreezingOptimizer::new(make(&model.vs), &model.vs, &config(freezes), 100).unwrap();
    for step in 1..=3 {
        optimizer.backward_step(&model.loss(step)).unwrap();
    }
    let twin = TinyBert::new(Spec::default());
    tch::no_grad(|| {
        for (name, variable) in model.variables() {
            twin.variable(name).shallow_clone().copy_(variable);
        }
    });
    optimizer.zero_grad().unwrap();
    model.loss(9).backward();
    twin.loss(9).backward();
    let mut compared = 0;
    for (name, variable) in model.variables() {
        assert_eq!(variable.grad().defined(), !is_below(name), "{name}");
        if !is_below(name) {
            let expected = twin.variable(name).grad();
            assert_within(&variable.grad(), &expected, TINY_BERT_GRADIENTS.tolerance(Kind::Float), name);
            compared += 1;
        }
    }
    assert!(compared > 10);
}

#[test]
fn with_keep_all_else_trains_to_the_end() {
    let model = TinyBert::new(Spec::default());
    let config = FreezingConfig::new(FreezeAt::new([("layer.0", 2)])).with_followers(Followers::Keep);
    let inner = AdamConfig::adamw().build(&model.vs, 1e-2).unwrap();
    let mut optimizer = FreezingOptimizer::new(inner, &model.vs, &config, 100).unwrap();
    for step in 1..=4 {
        optimizer.backward_step(&model.loss(step)).unwrap();
    }
    let stopped = model.variables().filter(|(_, variable)| !variable.requires_grad()).count();
    assert_eq!(stopped, 6);
}

/// Freezes block 0 at one step and brings one of its components back at another.
#[derive(Debug, Clone)]
struct ThereAndBack;

impl FreezePolicy for ThereAndBack {
    fn name(&self) -> &'static str {
        "there-and-back"
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([Statistic::GradL1])
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        let freezes = observation.step() == 2 && observation.component().layer == Some(0);
        if freezes { Decision::Freeze(cause(self.name())) } else { Decision::Keep }
    }

    fn thaws(&self) -> bool {
        true
    }

    fn decide_frozen(&mut self, observation: &FrozenObservation<'_>) -> Decision {
        let thaws = observation.step == 5 && observation.component.kind == ComponentKind::Query;
        if thaws { Decision::Thaw(cause(self.name())) } else { Decision::Keep }
    }
}

fn cause(policy: &'static str) -> Cause {
    Cause::new(policy, Statistic::GradL1, 0.0, 0.0)
}

#[test]
fn a_component_that_is_thawed_opens_its_block_again() {
    let model = TinyBert::new(Spec::default());
    let config = FreezingConfig::new(ThereAndBack).with_followers(Followers::WithBlock);
    let inner = AdamConfig::adamw().build(&model.vs, 1e-2).unwrap();
    let mut optimizer = FreezingOptimizer::new(inner, &model.vs, &config, 100).unwrap();
    let trains = |name: &str| model.variable(name).requires_grad();
    let followers = ["embeddings.word_embeddings.weight", "encoder.layer.0.attention.output.LayerNorm.bias"];
    for step in 1..=8 {
        let before: Vec<Vec<u32>> = followers.iter().map(|name| bits(model.variable(name))).collect();
        let closed = (3..=5).contains(&step);
        assert!(followers.iter().all(|name| trains(name) != closed), "before step {step}");
        optimizer.backward_step(&model.loss(step)).unwrap();
        let still = followers.iter().zip(&before).all(|(name, before)| bits(model.variable(name)) == *before);
        assert_eq!(still, closed, "step {step}");
    }
    assert!(trains("encoder.layer.0.attention.self.query.weight"));
    assert!(!trains("encoder.layer.0.attention.self.key.weight"));
}

/// A model of two blocks: an embedding, a matrix with a bias, another matrix, and a head or none.
fn small(head: bool, config: &FreezingConfig) -> (VarStore, FreezingOptimizer<grades::optim::Adam>) {
    let vs = VarStore::new(Device::Cpu);
    let root = vs.root();
    let mut names = vec!["embeddings.word_embeddings.weight", "encoder.layer.0.intermediate.dense.weight"];
    names.extend(["encoder.layer.0.intermediate.dense.bias"]);
    names.extend(head.then_some("classifier.weight"));
    names.push("encoder.layer.1.intermediate.dense.weight");
    for name in names {
        let (path, last) = name.rsplit_once('.').unwrap();
        let path = path.split('.').fold(root.clone(), |path, part| path.sub(part));
        let _ = path.var(last, &[2], nn::Init::Const(0.5));
    }
    let inner = AdamConfig::adamw().build(&vs, 1e-2).unwrap();
    let optimizer = FreezingOptimizer::new(inner, &vs, config, 100).unwrap();
    (vs, optimizer)
}

/// Freezes block 0 of a [`small`] model at step 2.
fn small_config() -> FreezingConfig {
    config(FreezeAt::new([("layer.0", 2)])).with_components(ComponentConfig::default())
}

/// Trains a step in which every parameter that trains has a gradient.
fn step(vs: &VarStore, optimizer: &mut FreezingOptimizer<grades::optim::Adam>) {
    let loss = vs.trainable_variables().iter().map(|v| v.square().sum(Kind::Float)).reduce(|a, b| a + b);
    optimizer.backward_step(&loss.unwrap()).unwrap();
}

#[test]
fn embeddings_that_are_the_output_layer_too_train_on() {
    for head in [true, false] {
        let (vs, mut optimizer) = small(head, &small_config().with_tied(Tied::Keep));
        for _ in 0..3 {
            step(&vs, &mut optimizer);
        }
        let variables = vs.variables();
        let trains = |name: &str| variables[name].requires_grad();
        assert!(!trains("encoder.layer.0.intermediate.dense.bias"));
        assert_eq!(trains("embeddings.word_embeddings.weight"), !head);
        assert!(trains("encoder.layer.1.intermediate.dense.weight"));
    }
}

const EMBEDDING: &str = "embeddings.word_embeddings.weight";

#[test]
fn tied_embeddings_freeze_as_the_setting_says_and_as_the_input_only_where_they_are_tied() {
    for (head, tied, followers) in [true, false]
        .into_iter()
        .flat_map(|head| Tied::ALL.map(|tied| (head, tied)))
        .flat_map(|(head, tied)| Followers::ALL.map(|followers| (head, tied, followers)))
    {
        let config = small_config().with_tied(tied).with_followers(followers);
        let (vs, mut optimizer) = small(head, &config);
        let follows = followers == Followers::WithBlock;
        let mut then = None;
        for number in 1..=5 {
            let closed = follows && number > 2;
            let case = format!("head {head}, {tied}, {followers}, before step {number}");
            let frozen = closed && (head || tied == Tied::Both);
            assert_eq!(vs.variables()[EMBEDDING].requires_grad(), !frozen, "{case}");
            assert_eq!(optimizer.input_is_frozen(), closed && !head && tied == Tied::Head, "{case}");
            if frozen {
                let now = bits(&vs.variables()[EMBEDDING]);
                assert_eq!(*then.get_or_insert_with(|| now.clone()), now, "{case}");
            }
            step(&vs, &mut optimizer);
        }
    }
}

#[test]
fn an_input_that_is_frozen_is_so_after_a_resume_and_until_a_thaw() {
    let config = small_config().with_tied(Tied::Head);
    let (vs, mut optimizer) = small(false, &config);
    for _ in 0..3 {
        step(&vs, &mut optimizer);
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("optimizer.safetensors");
    optimizer.save(&file).unwrap();
    let (_again, mut resumed) = small(false, &config);
    assert!(!resumed.input_is_frozen());
    resumed.load(&file).unwrap();
    assert!(resumed.input_is_frozen());

    let config = FreezingConfig::new(AllThereAndBack).with_tied(Tied::Head);
    let (vs, mut optimizer) = small(false, &config);
    let frozen = [2, 3, 4, 5, 6].map(|number| {
        step(&vs, &mut optimizer);
        (number, optimizer.input_is_frozen())
    });
    assert_eq!(frozen, [(2, false), (3, true), (4, true), (5, true), (6, false)]);
}

/// Freezes block 0 at step 2 and brings all of it back at step 5.
#[derive(Debug, Clone)]
struct AllThereAndBack;

impl FreezePolicy for AllThereAndBack {
    fn name(&self) -> &'static str {
        "all-there-and-back"
    }

    fn statistics(&self) -> StatisticSet {
        StatisticSet::of([Statistic::GradL1])
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Decision {
        ThereAndBack.decide(observation)
    }

    fn thaws(&self) -> bool {
        true
    }

    fn decide_frozen(&mut self, observation: &FrozenObservation<'_>) -> Decision {
        if observation.step == 5 { Decision::Thaw(cause(self.name())) } else { Decision::Keep }
    }
}
