//! Passes of decoders that are split at a block, and inputs that are detached from tied matrices.

use std::collections::BTreeMap;

use grades_lora::{Adapters, Init, LoraConfig};
use grades_models::Prefix;
use grades_models::decoder::{Backward, Decoder, Packed, Targets, Tokens};
use grades_models::flops::BatchShape;
use proptest::prelude::*;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use crate::tiny_decoder::TinyDecoder;
use crate::tolerance::{TINY_DECODER, assert_within};

const LENGTH: i64 = 10;

/// Two rows; every second position has a target. Packed: a row of three examples and a row of one.
fn batch(packed: bool) -> (Tokens, Targets) {
    let ids: Vec<i64> = (0..2 * LENGTH).map(|at| (at * 7 + at * at) % 37 + 3).collect();
    let positions: Vec<i64> = (0..2 * LENGTH).filter(|at| at % 2 == 0).collect();
    let targets: Vec<i64> = positions.iter().map(|&at| ids[at as usize + 1]).collect();
    let targets = Targets { positions: Tensor::from_slice(&positions), ids: Tensor::from_slice(&targets) };
    let matrix = |values: &[i64]| Tensor::from_slice(values).view([2, LENGTH]);
    let one: Vec<i64> = (0..LENGTH).collect();
    let several = [0, 1, 2, 3, 0, 1, 2, 0, 1, 2];
    let segments = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2];
    let packed = packed.then(|| Packed {
        segments: matrix(&[segments, [0; 10]].concat()),
        positions: matrix(&[&several[..], &one].concat()),
    });
    (Tokens { ids: matrix(&ids), packed, prefix: None }, targets)
}

fn with_prefix(tokens: &Tokens, prefix: Prefix) -> Tokens {
    Tokens { prefix: Some(prefix), ..tokens.shallow_clone() }
}

fn freeze(model: &Decoder, blocks: usize) {
    for (name, variable) in model.var_store().variables() {
        let below = (0..blocks).any(|block| name.starts_with(&format!("model.layers.{block}.")));
        if below || name == "model.embed_tokens.weight" {
            let _ = variable.set_requires_grad(false);
        }
    }
}

/// The loss and all gradients.
fn gradients(
    model: &Decoder,
    tokens: &Tokens,
    targets: &Targets,
    checkpointing: bool,
) -> (u64, BTreeMap<String, Tensor>) {
    for (_, mut variable) in model.var_store().variables() {
        variable.zero_grad();
    }
    let how = Backward { scale: 0.1, checkpointing, dropout: None };
    let pass = model.backward(tokens, targets, how).unwrap();
    pass.rest.backward();
    let variables = model.var_store().variables().into_iter();
    let gradients =
        variables.map(|(name, variable)| (name, variable.grad())).filter(|(_, grad)| grad.defined());
    (f64::try_from(pass.loss).unwrap().to_bits(), gradients.map(|(name, grad)| (name, grad.copy())).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// However the model is made and wherever a pass is split: logits, losses and gradients have the same bits.
    #[test]
    fn a_split_pass_has_the_bits_of_a_whole_one(
        family in prop::sample::select(vec!["llama", "mistral", "qwen3", "phi3"]), kv in prop::sample::select(vec![1, 2, 4]),
        window in prop::option::of(1..12i64), packed: bool, adapted: bool, checkpointing: bool, tied: bool,
        first in 0..=3usize, more in 0..=3usize,
    ) {
        let second = (first + more).min(3);
        let tiny = TinyDecoder::new(json!({
            "model_type": family, "architectures": null, "num_hidden_layers": 3, "num_key_value_heads": kv,
            "pad_token_id": null, "tie_word_embeddings": tied, "sliding_window": window,
            "use_sliding_window": window.is_some(), "max_window_layers": 1,
        }));
        let mut model = tiny.draw();
        if adapted {
            // Frozen below, training above.
            let config = LoraConfig::new(2).init(Init::Random).target_pattern("all-linear");
            let (layers, variables) = model.layers_mut();
            Adapters::new().add(layers, variables, "default", &config).unwrap();
        }
        freeze(&model, second);
        // The head may be the embedding; the last block may be frozen.
        prop_assert_eq!(model.frozen_blocks(), second);
        let (tokens, targets) = batch(packed);
        let whole = model.forward(&tokens).unwrap();
        let losses = model.losses(&tokens, &targets).unwrap();
        let (loss, all) = gradients(&model, &tokens, &targets, checkpointing);

        let lower = with_prefix(&tokens, model.prefix(&tokens, first).unwrap());
        let prefix = model.prefix(&lower, second).unwrap();
        prop_assert_eq!(prefix.blocks, second);
        prop_assert_eq!(&prefix.states, &model.prefix(&tokens, second).unwrap().states);
        let split = with_prefix(&tokens, prefix);
        prop_assert_eq!(&model.forward(&split).unwrap(), &whole);
        prop_assert_eq!(&model.forward(&lower).unwrap(), &whole);
        prop_assert_eq!(model.losses(&split, &targets).unwrap(), losses);
        prop_assert_eq!(model.hits(&split, &targets).unwrap(), model.hits(&tokens, &targets).unwrap());
        let (again, above) = gradients(&model, &split, &targets, checkpointing);
        prop_assert_eq!((again, above), (loss, all));

        let rows = Tensor::from_slice(&[1i64]);
        let one = model.forward(&split.select(&rows).unwrap()).unwrap();
        assert_within(&one, &whole.narrow(0, 1, 1), TINY_DECODER.tolerance(Kind::Float), "a row alone");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// The states of each row's own tokens are enough, whatever stands behind them.
    #[test]
    fn rows_may_be_padded_anew(blocks in 0..=2usize, lengths in prop::collection::vec(1..=9i64, 1..5), under in -9.0..9.0f64) {
        let model = TinyDecoder::new(json!({})).draw();
        let row = |at: usize, length: i64| {
            let ids: Vec<i64> = (0..length).map(|token| 3 + (at as i64 * 5 + token * 7) % 30).collect();
            Tensor::from_slice(&ids).unsqueeze(0)
        };
        let (rows, width) = (lengths.len() as i64, lengths.iter().max().unwrap() + 2);
        let states = Tensor::full([rows, width, 16], under, (Kind::Float, Device::Cpu));
        let ids = Tensor::zeros([rows, width], (Kind::Int64, Device::Cpu));
        for (at, &length) in lengths.iter().enumerate() {
            let alone = model.prefix(&Tokens::from(row(at, length)), blocks).unwrap();
            states.get(at as i64).narrow(0, 0, length).copy_(&alone.states.get(0));
        }
        let tokens = Tokens { ids, packed: None, prefix: Some(Prefix { blocks, states }) };
        let together = model.forward(&tokens).unwrap();
        for (at, &length) in lengths.iter().enumerate() {
            let alone = model.forward(&Tokens::from(row(at, length))).unwrap();
            let ours = together.narrow(0, at as i64, 1).narrow(1, 0, length);
            assert_within(&ours, &alone, TINY_DECODER.tolerance(Kind::Float), format!("row {at}"));
        }
    }
}

#[test]
fn lowest_blocks_are_frozen_once_nothing_in_them_or_below_trains() {
    let model = TinyDecoder::new(json!({"num_hidden_layers": 3})).draw();
    assert_eq!(model.frozen_blocks(), 0);
    for blocks in 0..=3 {
        freeze(&model, blocks);
        assert_eq!(model.frozen_blocks(), blocks);
    }
    let norm = &model.var_store().variables()["model.layers.1.input_layernorm.weight"];
    let _ = norm.set_requires_grad(true);
    assert_eq!(model.frozen_blocks(), 1);
}

#[test]
fn matmuls_of_blocks_are_those_of_the_whole_pass() {
    let model = TinyDecoder::new(json!({"num_hidden_layers": 3})).draw();
    let batch = BatchShape::new(2, 10, 7);
    let blocks = |range| model.block_matmuls(range).forward(batch);
    assert_eq!(blocks(0..2) + blocks(2..3), blocks(0..3));
    assert_eq!(model.matmuls(false).forward(batch) - blocks(0..3), 2 * 7 * 16 * 40);
}

#[test]
fn a_prefix_that_does_not_fit_is_refused() {
    let model = TinyDecoder::new(json!({})).draw();
    let (tokens, _) = batch(false);
    let states = Tensor::zeros([2, LENGTH, 15], (Kind::Float, Device::Cpu));
    let error = model.forward(&with_prefix(&tokens, Prefix { blocks: 1, states })).unwrap_err().to_string();
    assert_eq!(
        error,
        "the hidden states of a prefix have shape [2, 10, 15] and dtype Float; expected [2, 10, 16] and Float"
    );
    let states = Tensor::zeros([2, LENGTH, 16], (Kind::Float, Device::Cpu));
    let error = model.forward(&with_prefix(&tokens, Prefix { blocks: 3, states })).unwrap_err().to_string();
    assert!(error.contains("up to the model's 2 blocks"), "{error}");
    let prefix = model.prefix(&tokens, 2).unwrap();
    let error = model.prefix(&with_prefix(&tokens, prefix), 1).unwrap_err().to_string();
    assert!(error.contains("from block 2 to block 1"), "{error}");
}

/// A tied model, the lowest block of which is frozen.
fn tied(changes: Value) -> Decoder {
    let mut all = json!({"tie_word_embeddings": true, "pad_token_id": null});
    all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let model = TinyDecoder::new(all).draw();
    for (name, variable) in model.var_store().variables() {
        if name.starts_with("model.layers.0.") {
            let _ = variable.set_requires_grad(false);
        }
    }
    model
}

#[test]
fn a_detached_input_leaves_the_head_its_gradient_and_nothing_else() {
    for checkpointing in [false, true] {
        let mut model = tied(json!({}));
        let (tokens, targets) = batch(false);
        let (loss, attached) = gradients(&model, &tokens, &targets, checkpointing);
        let cost = |model: &Decoder| model.matmuls(false).backward(BatchShape::new(2, 10, 10));
        let before = cost(&model);
        model.set_input_detached(true);
        let (again, detached) = gradients(&model, &tokens, &targets, checkpointing);
        assert_eq!(loss, again);
        assert!(cost(&model) < before, "the backward pass ends at block 1");
        assert_eq!(model.frozen_blocks(), 0, "the embedding still moves");
        for (name, gradient) in &attached {
            let same = gradient == &detached[name];
            assert_eq!(same, name != "model.embed_tokens.weight", "{name}");
        }
        assert_eq!(attached.len(), detached.len());
        // What is left of the embedding's gradient is that of a head that is a matrix of its own.
        let prefix = model.prefix(&tokens, 0).unwrap();
        let (_, head) = gradients(&model, &with_prefix(&tokens, prefix), &targets, checkpointing);
        assert_eq!(head["model.embed_tokens.weight"], detached["model.embed_tokens.weight"]);
        model.set_input_detached(false);
        assert_eq!(gradients(&model, &tokens, &targets, checkpointing), (loss, attached));
    }
}
