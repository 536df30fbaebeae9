//! The loss, and the gradients of every parameter.

use std::collections::BTreeMap;

use grades_models::decoder::{Backward, Decoder, LoadOptions};
use grades_tests::tolerance::{TINY_DECODER, TINY_DECODER_GRADIENTS, assert_number_within, assert_within};
use tch::{Kind, Tensor};

use super::models::{batch, load, names, reference};
use crate::python::skipped;

/// The mean loss and the gradients by name.
fn gradients(model: &Decoder, checkpointing: bool) -> (f64, BTreeMap<String, Tensor>) {
    let (tokens, targets) = batch();
    let count = targets.ids.numel() as f64;
    let pass = model
        .backward(&tokens, &targets, Backward { scale: 1.0 / count, checkpointing, dropout: None })
        .unwrap();
    pass.rest.backward();
    let loss = f64::try_from(pass.loss).unwrap() / count;
    let variables = model.var_store().variables();
    (loss, variables.into_iter().map(|(name, variable)| (name, variable.grad())).collect())
}

#[test]
fn gradients_are_those_of_transformers() {
    if skipped() {
        return;
    }
    for name in names() {
        let model = load(name, LoadOptions::default());
        let theirs = reference(name);
        let (loss, ours) = gradients(&model, false);
        let their_loss = f64::try_from(&theirs["loss"]).unwrap();
        assert_number_within(loss, their_loss, TINY_DECODER.tolerance(Kind::Float), format!("{name}, loss"));
        let count = theirs.keys().filter(|key| key.starts_with("gradient.")).count();
        assert_eq!(ours.len(), count, "{name}: {:?}", ours.keys());
        for (parameter, gradient) in ours {
            let theirs = &theirs[&format!("gradient.{parameter}")];
            let largest = f64::try_from(theirs.abs().max()).unwrap();
            assert!(largest > 1e-3, "{name}, {parameter}: a gradient of nothing proves nothing ({largest})");
            let tolerance = TINY_DECODER_GRADIENTS.tolerance(Kind::Float);
            assert_within(&gradient, theirs, tolerance, format!("{name}, {parameter}"));
        }
    }
}

#[test]
fn parts_of_fused_matrices_have_the_gradients_of_their_rows() {
    if skipped() {
        return;
    }
    for name in names().into_iter().filter(|name| name.starts_with("phi3")) {
        let model = load(name, LoadOptions { split_fused: true, ..LoadOptions::default() });
        let (_, ours) = gradients(&model, false);
        let theirs = reference(name);
        for layer in 0..3 {
            let layer = format!("model.layers.{layer}");
            for (fused, parts) in [
                ("self_attn.qkv_proj", &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"][..]),
                ("mlp.gate_up_proj", &["mlp.gate_proj", "mlp.up_proj"]),
            ] {
                let parts: Vec<&Tensor> =
                    parts.iter().map(|part| &ours[&format!("{layer}.{part}.weight")]).collect();
                let theirs = &theirs[&format!("gradient.{layer}.{fused}.weight")];
                let tolerance = TINY_DECODER_GRADIENTS.tolerance(Kind::Float);
                assert_within(&Tensor::cat(&parts, 0), theirs, tolerance, format!("{name}, {fused}"));
            }
        }
    }
}

#[test]
fn checkpointing_gives_the_same_gradients_bit_for_bit() {
    if skipped() {
        return;
    }
    for name in names() {
        for autocast in [false, true] {
            let options = LoadOptions { autocast, ..LoadOptions::default() };
            let (loss, plain) = gradients(&load(name, options), false);
            let (again, checkpointed) = gradients(&load(name, options), true);
            assert_eq!(loss.to_bits(), again.to_bits(), "{name}");
            for (parameter, gradient) in plain {
                assert!(
                    gradient.equal(&checkpointed[&parameter]),
                    "{name}, {parameter}, autocast {autocast}"
                );
            }
        }
    }
}
