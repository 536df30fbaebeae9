//! The forward pass of the network.

use grades_models::bert::{BertClassifier, LoadOptions};
use tch::{Kind, Tensor};

use crate::support::{Tiny, batch, logits};
use crate::tolerance::{TINY_BERT, assert_within, epsilon};

#[test]
fn gradients_reach_every_variable() {
    let tiny = Tiny::classifier();
    let model = tiny.write().load();
    let (ids, mask) = batch();
    let targets = Tensor::from_slice(&[0i64, 1, 1]);
    model.forward(&ids, &mask, false).unwrap().cross_entropy_for_logits(&targets).backward();
    for (name, variable) in model.var_store().variables() {
        let gradient = variable.grad();
        assert!(gradient.defined(), "{name} has no gradient");
        // Softmax does not change when the same number is added to all scores of a query.
        let zero = name.ends_with("self.key.bias");
        let norm = f64::try_from(gradient.norm()).unwrap();
        assert!(zero || norm > 0.0, "{name} has gradient 0");
    }
    assert_eq!(model.var_store().trainable_variables().len(), model.var_store().len());
}

#[test]
fn padding_receives_no_gradient() {
    let tiny = Tiny::classifier();
    let model = tiny.write().load();
    let (ids, mask) = batch();
    model.forward(&ids, &mask, false).unwrap().sum(Kind::Float).backward();
    let variables = model.var_store().variables();
    let gradient = variables["bert.embeddings.word_embeddings.weight"].grad();
    assert_eq!(f64::try_from(gradient.select(0, 0).abs().sum(Kind::Float)).unwrap(), 0.0);
    assert!(f64::try_from(gradient.select(0, 1).abs().sum(Kind::Float)).unwrap() > 0.0);
}

#[test]
fn padding_does_not_change_logits() {
    let tiny = Tiny::classifier();
    let model = tiny.write().load();
    let all = logits(&model);
    let (ids, mask) = batch();
    for (row, length) in [(0, 5), (1, 3), (2, 4)] {
        let short = |t: &Tensor| t.narrow(0, row, 1).narrow(1, 0, length);
        let alone = model.forward(&short(&ids), &short(&mask), false).unwrap();
        assert_within(&alone, &all.narrow(0, row, 1), TINY_BERT.tolerance(Kind::Float), format!("row {row}"));
    }
    // What stands under the mask makes no difference at all.
    let other = ids.where_self(&mask.ne(0), &Tensor::from(33i64));
    assert_eq!(model.forward(&other, &mask, false).unwrap(), all);
}

#[test]
fn the_mask_may_be_of_any_kind() {
    let tiny = Tiny::classifier();
    let model = tiny.write().load();
    let (ids, mask) = batch();
    for kind in [Kind::Bool, Kind::Float, Kind::Int] {
        assert_eq!(model.forward(&ids, &mask.to_kind(kind), false).unwrap(), logits(&model));
    }
}

#[test]
fn dropout_acts_in_training_only() {
    let tiny = Tiny::classifier();
    let model = tiny.write().load();
    let (ids, mask) = batch();
    let run = |train| model.forward(&ids, &mask, train).unwrap();
    assert_eq!(run(false), run(false));
    assert_ne!(run(true), run(true));
    // No other test of this program may draw from torch's generator, which is one for all threads.
    tch::manual_seed(7);
    let first = run(true);
    tch::manual_seed(7);
    assert_eq!(first, run(true));
}

#[test]
fn half_precision_is_close() {
    let tiny = Tiny::classifier();
    tiny.write();
    let exact = logits(&tiny.load());
    for kind in [Kind::BFloat16, Kind::Double] {
        let options = LoadOptions { dtype: kind, ..LoadOptions::default() };
        let (model, _) = BertClassifier::load(tiny.path(), options).unwrap();
        let found = logits(&model);
        assert_eq!(found.kind(), kind);
        // Against f32, so of f32 and f64 that is the coarser one. In bf16 norms and softmax keep errors from adding up.
        let tolerance = match kind {
            Kind::BFloat16 => 4.0 * epsilon(kind),
            _ => TINY_BERT.tolerance(Kind::Float),
        };
        assert_within(&found, &exact, tolerance, format!("{kind:?}"));
    }
}

#[test]
fn every_activation_runs() {
    let names = [
        "gelu",
        "gelu_python",
        "gelu_new",
        "gelu_fast",
        "gelu_accurate",
        "gelu_pytorch_tanh",
        "gelu_python_tanh",
        "quick_gelu",
        "relu",
        "relu2",
        "silu",
        "swish",
        "tanh",
    ];
    let mut tiny = Tiny::classifier();
    for name in names {
        tiny.config["hidden_act"] = name.into();
        let found = logits(&tiny.write().load());
        assert!(f64::try_from(found.isfinite().all().to_kind(Kind::Float)).unwrap() == 1.0, "{name}");
    }
    assert_eq!(grades_models::activation::Activation::names(), names.join(", "));
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let tiny = Tiny::classifier();
    let model = tiny.write().load();
    let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Int64, tch::Device::Cpu));
    struct Case {
        ids: &'static [i64],
        mask: &'static [i64],
        expected: &'static str,
    }
    let cases = [
        Case { ids: &[3], mask: &[3], expected: "ids have shape [3]; expected [batch, tokens]" },
        Case { ids: &[2, 3], mask: &[2, 4], expected: "the mask has shape [2, 4], the ids have [2, 3]" },
        Case { ids: &[1, 17], mask: &[1, 17], expected: "a sequence of 17 tokens; the model takes 1 to 16" },
        Case { ids: &[1, 0], mask: &[1, 0], expected: "a sequence of 0 tokens" },
    ];
    for Case { ids, mask, expected } in cases {
        let error = model.forward(&zeros(ids), &zeros(mask), false).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = model.forward(&(zeros(&[1, 2]) + 40), &zeros(&[1, 2]), false).unwrap_err().to_string();
    assert!(error.contains("index out of range") && error.lines().count() == 1, "{error}");
}
