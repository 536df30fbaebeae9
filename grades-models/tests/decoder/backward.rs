//! Losses and gradients: in pieces, with checkpointing, with parts of the model frozen.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use grades_lora::{Adapters, Init, LoraConfig};
use grades_models::decoder::{Backward, Decoder, Targets, Tokens};
use proptest::prelude::*;
use serde_json::json;
use tch::{Kind, Reduction, Tensor};

use crate::tiny_decoder::TinyDecoder;
use crate::tolerance::{
    TINY_DECODER, TINY_DECODER_GRADIENTS, assert_number_within, assert_within, assert_within_from,
};

/// Two rows of so many tokens; every second position has a target.
fn batch(length: i64) -> (Tokens, Targets) {
    let ids: Vec<i64> = (0..2 * length).map(|at| (at * 7 + at * at) % 37 + 3).collect();
    let positions: Vec<i64> = (0..2 * length).filter(|at| at % 2 == 0).collect();
    let targets: Vec<i64> = positions.iter().map(|&at| ids[at as usize + 1]).collect();
    let targets = Targets { positions: Tensor::from_slice(&positions), ids: Tensor::from_slice(&targets) };
    (Tokens::from(Tensor::from_slice(&ids).view([2, length])), targets)
}

/// The sum of the losses, and the gradient of each variable that has one.
fn gradients(model: &Decoder, how: Backward) -> (f64, BTreeMap<String, Tensor>) {
    let (tokens, targets) = batch(10);
    for (_, mut variable) in model.var_store().variables() {
        variable.zero_grad();
    }
    let pass = model.backward(&tokens, &targets, how).unwrap();
    pass.rest.backward();
    let variables = model.var_store().variables().into_iter();
    let gradients =
        variables.map(|(name, variable)| (name, variable.grad())).filter(|(_, grad)| grad.defined());
    (f64::try_from(pass.loss).unwrap(), gradients.map(|(name, grad)| (name, grad.copy())).collect())
}

const PLAIN: Backward = Backward { scale: 1.0, checkpointing: false, dropout: None };

fn assert_same_bits(a: &BTreeMap<String, Tensor>, b: &BTreeMap<String, Tensor>) {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, gradient) in a {
        assert!(gradient.equal(&b[name]), "{name}");
    }
}

#[test]
fn the_loss_in_pieces_is_the_loss_of_all_logits() {
    // So large a vocabulary that 200 targets need two pieces.
    let tiny = TinyDecoder::new(
        json!({"vocab_size": 300_000, "hidden_size": 8, "head_dim": 4, "max_position_embeddings": 256}),
    );
    let model = tiny.draw();
    let (tokens, targets) = batch(200);
    let pass = model.backward(&tokens, &targets, Backward { scale: 0.25, ..PLAIN }).unwrap();
    pass.rest.backward();
    let logits = model.forward(&tokens).unwrap().view([400, 300_000]).index_select(0, &targets.positions);
    let each = logits.cross_entropy_loss::<Tensor>(&targets.ids, None, Reduction::None, -100, 0.0);
    let ours = model.losses(&tokens, &targets).unwrap();
    assert_within(&ours, &each, TINY_DECODER.tolerance(Kind::Float), "losses");
    let sum = each.sum(Kind::Float);
    let (sum_in_pieces, at_once) = (f64::try_from(pass.loss).unwrap(), f64::try_from(&sum).unwrap());
    assert_number_within(sum_in_pieces, at_once, TINY_DECODER.tolerance(Kind::Float), "loss");
    let hits = logits.argmax(-1, false).eq_tensor(&targets.ids);
    assert_eq!(model.hits(&tokens, &targets).unwrap(), hits);

    let mut variables: Vec<(String, Tensor)> = model.var_store().variables().into_iter().collect();
    variables.sort_by(|a, b| a.0.cmp(&b.0));
    let inputs: Vec<&Tensor> = variables.iter().map(|(_, variable)| variable).collect();
    let theirs = Tensor::run_backward(&[sum * 0.25], &inputs, false, false);
    for ((name, variable), theirs) in variables.iter().zip(theirs) {
        assert_within_from(
            &variable.grad(),
            &theirs,
            1e-3,
            TINY_DECODER_GRADIENTS.tolerance(Kind::Float),
            name,
        );
    }
}

/// torch's generator, which is one for all threads: whoever draws from it in this program holds this.
fn generator() -> MutexGuard<'static, ()> {
    static GENERATOR: Mutex<()> = Mutex::new(());
    GENERATOR.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn checkpointing_drops_the_same_elements_of_adapters() {
    let _alone = generator();
    let qwen3 = json!({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "head_dim": 4,
                       "tie_word_embeddings": true});
    for tiny in [TinyDecoder::new(json!({})), TinyDecoder::phi3(json!({})), TinyDecoder::new(qwen3)] {
        let name = &tiny.config["model_type"];
        let mut model = tiny.draw();
        let config = LoraConfig::new(2).dropout(0.3).init(Init::Random).target_pattern("all-linear");
        tch::manual_seed(3);
        let (layers, variables) = model.layers_mut();
        Adapters::new().add(layers, variables, "default", &config).unwrap();
        let with = |checkpointing| gradients(&model, Backward { checkpointing, dropout: Some(5), ..PLAIN });
        let ((loss, plain), (again, checkpointed)) = (with(false), with(true));
        assert_eq!(loss.to_bits(), again.to_bits(), "{name}");
        assert_ne!(loss, gradients(&model, PLAIN).0, "{name}: nothing was dropped");
        assert!(plain.keys().all(|name| name.contains(".lora_")), "only adapters train");
        assert!(!plain.is_empty());
        assert_same_bits(&plain, &checkpointed);
    }
}

#[test]
fn dropout_drops_the_same_when_a_block_is_computed_again() {
    let _alone = generator();
    let tiny = TinyDecoder::phi3(json!({"resid_pdrop": 0.2, "attention_dropout": 0.3}));
    let model = tiny.draw();
    let with =
        |checkpointing, seed| gradients(&model, Backward { checkpointing, dropout: Some(seed), ..PLAIN });
    let (loss, plain) = with(false, 11);
    let (again, checkpointed) = with(true, 11);
    assert_eq!(loss.to_bits(), again.to_bits());
    assert_same_bits(&plain, &checkpointed);
    assert_ne!(loss, with(false, 12).0, "another seed drops other elements");
    assert_ne!(loss, gradients(&model, PLAIN).0, "without a seed nothing is dropped");
    // Other losses than without dropout in every block: the two halves of each block drop something.
    assert_eq!(loss, with(false, 11).0, "whatever torch's generator did in between");
}

#[test]
fn frozen_variables_have_no_gradient_and_change_no_other() {
    let tiny = TinyDecoder::phi3(json!({}));
    let model = tiny.draw();
    let (_, all) = gradients(&model, PLAIN);
    let frozen: [&[&str]; 5] = [
        &["embed_tokens"],
        &["embed_tokens", "layers.0."],
        &["qkv_proj", "down_proj", "lm_head"],
        &["model."],
        &["layers.1.", "lm_head", "model.norm"],
    ];
    for parts in frozen {
        for checkpointing in [false, true] {
            let model = tiny.draw();
            for (name, variable) in model.var_store().variables() {
                if parts.iter().any(|part| name.contains(part)) {
                    let _ = variable.set_requires_grad(false);
                }
            }
            let (_, some) = gradients(&model, Backward { checkpointing, ..PLAIN });
            let rest = all.iter().filter(|(name, _)| !parts.iter().any(|part| name.contains(part)));
            let rest: BTreeMap<String, Tensor> =
                rest.map(|(name, grad)| (name.clone(), grad.shallow_clone())).collect();
            assert_same_bits(&rest, &some);
        }
    }
    for (_, variable) in model.var_store().variables() {
        let _ = variable.set_requires_grad(false);
    }
    for checkpointing in [false, true] {
        let (tokens, targets) = batch(10);
        model.backward(&tokens, &targets, Backward { checkpointing, ..PLAIN }).unwrap().rest.backward();
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let model = TinyDecoder::new(json!({})).draw();
    let (tokens, _) = batch(10);
    let none = Targets {
        positions: Tensor::zeros([0], (Kind::Int64, tch::Device::Cpu)),
        ids: Tensor::zeros([0], (Kind::Int64, tch::Device::Cpu)),
    };
    let error = model.backward(&tokens, &none, PLAIN).unwrap_err().to_string();
    assert!(error.contains("at least 1"), "{error}");
    let long = Tokens::from(Tensor::zeros([1, 65], (Kind::Int64, tch::Device::Cpu)));
    let error = model.forward(&long).unwrap_err().to_string();
    assert_eq!(error, "a sequence of 65 tokens; the model takes 1 to 64 (\"max_position_embeddings\")");
    let flat = Tokens::from(Tensor::zeros([3], (Kind::Int64, tch::Device::Cpu)));
    assert_eq!(model.forward(&flat).unwrap_err().to_string(), "ids have shape [3]; expected [batch, tokens]");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However the model is made, checkpointing changes no bit, and a batch is the sum of its rows.
    #[test]
    fn gradients_add_up_and_checkpointing_changes_none(
        kv in prop::sample::select(vec![1, 2, 4]), head in prop::sample::select(vec![2, 4, 6]), tied: bool, bias: bool,
        family in prop::sample::select(vec!["llama", "mistral", "qwen3", "phi3"]), window in prop::option::of(1..12i64),
    ) {
        let tiny = TinyDecoder::new(json!({
            "model_type": family, "architectures": null, "num_key_value_heads": kv, "head_dim": head, "pad_token_id": null,
            "tie_word_embeddings": tied, "attention_bias": bias, "mlp_bias": bias, "sliding_window": window,
            "use_sliding_window": window.is_some(), "max_window_layers": 1,
        }));
        let model = tiny.draw();
        let (loss, plain) = gradients(&model, PLAIN);
        let (again, checkpointed) = gradients(&model, Backward { checkpointing: true, ..PLAIN });
        prop_assert_eq!(loss.to_bits(), again.to_bits());
        assert_same_bits(&plain, &checkpointed);

        let (tokens, targets) = batch(10);
        for (_, mut variable) in model.var_store().variables() {
            variable.zero_grad();
        }
        let mut sum = 0.0;
        for row in 0..2 {
            let tokens = Tokens::from(tokens.ids.narrow(0, row, 1));
            let (positions, ids) = (targets.positions.narrow(0, 5 * row, 5) - 10 * row, targets.ids.narrow(0, 5 * row, 5));
            let pass = model.backward(&tokens, &Targets { positions, ids }, PLAIN).unwrap();
            pass.rest.backward();
            sum += f64::try_from(pass.loss).unwrap();
        }
        assert_number_within(sum, loss, TINY_DECODER.tolerance(Kind::Float), "loss");
        for (name, variable) in model.var_store().variables() {
            assert_within_from(&variable.grad(), &plain[&name], 1e-2, TINY_DECODER_GRADIENTS.tolerance(Kind::Float), name);
        }
    }
}
