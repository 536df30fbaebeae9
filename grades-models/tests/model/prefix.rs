//! Passes that are split at a block: the same bits as whole ones, and what counts as frozen.

use std::collections::BTreeMap;

use grades_lora::{Adapters, Init, LoraConfig};
use grades_models::Prefix;
use grades_models::bert::BertClassifier;
use grades_models::flops::BatchShape;
use proptest::prelude::*;
use tch::{Kind, Tensor};

use crate::support::{Tiny, batch, logits};
use crate::tolerance::{TINY_BERT, assert_within};

/// Turns the gradients of these variables off.
fn freeze(model: &BertClassifier, is_frozen: impl Fn(&str) -> bool) {
    for (name, variable) in model.var_store().variables() {
        if is_frozen(&name) {
            let _ = variable.set_requires_grad(false);
        }
    }
}

fn is_embedding(name: &str) -> bool {
    name.starts_with("bert.embeddings.")
}

fn gradients(model: &BertClassifier, logits: &Tensor) -> BTreeMap<String, Tensor> {
    for (_, mut variable) in model.var_store().variables() {
        variable.zero_grad();
    }
    logits.cross_entropy_for_logits(&Tensor::from_slice(&[0i64, 1, 1])).backward();
    let variables = model.var_store().variables().into_iter();
    let gradients =
        variables.map(|(name, variable)| (name, variable.grad())).filter(|(_, grad)| grad.defined());
    gradients.map(|(name, grad)| (name, grad.copy())).collect()
}

#[test]
fn a_split_pass_has_the_bits_of_a_whole_one() {
    let model = Tiny::classifier().write().load();
    let (ids, mask) = batch();
    let whole = logits(&model);
    for first in 0..=2 {
        let prefix = model.prefix(&ids, &mask, first).unwrap();
        assert_eq!(prefix.blocks, first);
        assert!(!prefix.states.requires_grad());
        assert_eq!(model.forward_from(&prefix, &mask, false).unwrap(), whole, "from block {first}");
        for second in first..=2 {
            let further = model.extend_prefix(&prefix, &mask, second).unwrap();
            let at_once = model.prefix(&ids, &mask, second).unwrap();
            assert_eq!((further.blocks, &further.states), (second, &at_once.states), "{first} to {second}");
        }
    }
}

#[test]
fn gradients_above_a_prefix_are_those_of_a_whole_pass() {
    for blocks in 0..=2 {
        let model = Tiny::classifier().write().load();
        let frozen = move |name: &str| {
            is_embedding(name) || (0..blocks).any(|block| name.contains(&format!(".layer.{block}.")))
        };
        freeze(&model, frozen);
        let (ids, mask) = batch();
        let whole = gradients(&model, &model.forward(&ids, &mask, false).unwrap());
        let prefix = model.prefix(&ids, &mask, blocks).unwrap();
        let split = gradients(&model, &model.forward_from(&prefix, &mask, false).unwrap());
        assert_eq!(whole, split, "{blocks} blocks");
        assert!(whole.keys().all(|name| !frozen(name)) && !whole.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// The states of each row's own tokens are enough, in any batch and with any finite states under the mask.
    #[test]
    fn rows_may_be_padded_anew(
        blocks in 0..=2usize, lengths in prop::collection::vec(1..=8i64, 1..5), wider in 0..4i64, under in -9.0..9.0f64,
        order in any::<prop::sample::Index>(),
    ) {
        let model = Tiny::classifier().write().load();
        let row = |at: usize, length: i64| {
            let ids: Vec<i64> = (0..length).map(|token| 2 + (at as i64 * 5 + token * 3) % 30).collect();
            Tensor::from_slice(&ids).unsqueeze(0)
        };
        let ones = |length: i64| Tensor::ones([1, length], (Kind::Int64, tch::Device::Cpu));
        let mut rows: Vec<(usize, i64)> = lengths.iter().copied().enumerate().collect();
        let turn = order.index(rows.len());
        rows.rotate_left(turn);
        let width = lengths.iter().max().unwrap() + wider;
        let options = (Kind::Float, tch::Device::Cpu);
        let states = Tensor::full([rows.len() as i64, width, 8], under, options);
        let mask = Tensor::zeros([rows.len() as i64, width], (Kind::Int64, tch::Device::Cpu));
        for (place, (at, length)) in rows.iter().enumerate() {
            let alone = model.prefix(&row(*at, *length), &ones(*length), blocks).unwrap();
            states.get(place as i64).narrow(0, 0, *length).copy_(&alone.states.get(0));
            let _ = mask.get(place as i64).narrow(0, 0, *length).fill_(1);
        }
        let together = model.forward_from(&Prefix { blocks, states }, &mask, false).unwrap();
        for (place, (at, length)) in rows.iter().enumerate() {
            let alone = model.forward(&row(*at, *length), &ones(*length), false).unwrap();
            let ours = together.narrow(0, place as i64, 1);
            assert_within(&ours, &alone, TINY_BERT.tolerance(Kind::Float), format!("row {at}"));
        }
    }
}

#[test]
fn dropout_acts_above_the_prefix_only() {
    let model = Tiny::classifier().write().load();
    let (ids, mask) = batch();
    let prefix = model.prefix(&ids, &mask, 2).unwrap();
    assert_eq!(prefix.states, model.prefix(&ids, &mask, 2).unwrap().states);
    let run = || model.forward_from(&prefix, &mask, true).unwrap();
    let (mut same, first) = (true, run());
    for _ in 0..20 {
        same &= run() == first;
    }
    assert!(!same, "the head drops something");
}

#[test]
fn lowest_blocks_are_frozen_once_nothing_in_them_or_below_trains() {
    let frozen = |is_frozen: &dyn Fn(&str) -> bool| {
        let model = Tiny::classifier().write().load();
        freeze(&model, is_frozen);
        model.frozen_blocks()
    };
    let first = |name: &str| name.contains(".layer.0.");
    assert_eq!(frozen(&|_| false), 0);
    assert_eq!(frozen(&is_embedding), 0);
    assert_eq!(frozen(&first), 0, "the embeddings train");
    assert_eq!(frozen(&|name| is_embedding(name) || first(name)), 1);
    assert_eq!(frozen(&|name| is_embedding(name) || name.contains(".layer.1.")), 0, "block 0 trains");
    assert_eq!(frozen(&|name| is_embedding(name) || first(name) && !name.ends_with("key.bias")), 0);
    assert_eq!(frozen(&|name| is_embedding(name) || name.contains(".layer.")), 2);
    assert_eq!(frozen(&|_| true), 2);
}

#[test]
fn adapters_count_as_a_part_of_their_layer() {
    for (layers, expected) in [(vec![0u32, 1], 0), (vec![1], 1)] {
        let mut model = Tiny::classifier().write().load();
        let config =
            LoraConfig::new(2).init(Init::Random).target_modules(["query"]).layers_to_transform(layers);
        let (layers, variables) = model.layers_mut();
        let mut adapters = Adapters::new();
        adapters.add(layers, variables, "default", &config).unwrap();
        assert_eq!(model.frozen_blocks(), expected);
        for (name, variable) in model.var_store().variables() {
            if name.contains(".layer.0.") {
                let _ = variable.set_requires_grad(false);
            }
        }
        assert_eq!(model.frozen_blocks(), 1);
    }
}

#[test]
fn matmuls_of_blocks_are_those_of_the_whole_pass() {
    let model = Tiny::classifier().write().load();
    let batch = BatchShape::new(3, 5, 0);
    let blocks = |range| model.block_matmuls(range).forward(batch);
    assert_eq!(blocks(0..1) + blocks(1..2), blocks(0..2));
    // The pooler and the classifier.
    assert_eq!(model.matmuls().forward(batch) - blocks(0..2), 2 * 3 * (8 * 8 + 8 * 2));
    assert_eq!(blocks(2..2), 0);
}

#[test]
fn prefixes_that_do_not_fit_are_refused() {
    let model = Tiny::classifier().write().load();
    let (ids, mask) = batch();
    let prefix = model.prefix(&ids, &mask, 1).unwrap();
    let refused = |result: grades_models::Result<Prefix>| result.unwrap_err().to_string();
    assert_eq!(
        refused(model.prefix(&ids, &mask, 3)),
        "a pass from block 0 to block 3; expected two numbers in order, up to the model's 2 blocks"
    );
    assert!(refused(model.extend_prefix(&prefix, &mask, 0)).contains("from block 1 to block 0"));
    let states = prefix.states.narrow(1, 0, 4);
    let error = model.forward_from(&Prefix { blocks: 1, states }, &mask, false).unwrap_err().to_string();
    assert_eq!(
        error,
        "the hidden states of a prefix have shape [3, 4, 8] and dtype Float; expected [3, 5, 8] and Float"
    );
    let states = prefix.states.to_kind(Kind::Double);
    assert!(model.forward_from(&Prefix { blocks: 1, states }, &mask, false).is_err());
    let states = prefix.states.shallow_clone();
    assert!(model.forward_from(&Prefix { blocks: 3, states }, &mask, false).is_err());
}
