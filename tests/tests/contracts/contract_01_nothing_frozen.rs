//! Contract 1: with no freeze, parameters are bitwise what the bare optimizer gives.

use grades::optim::Hyperparameter::{LearningRate, Momentum, WeightDecay};
use grades::optim::InnerOptimizer;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_tests::tolerance::{STATISTIC, assert_number_within};
use grades_tests::{Never, ReportExt, Spec, TinyBert, assert_close, snapshot};
use tch::nn::VarStore;
use tch::{Kind, Tensor, no_grad};

use crate::optimizers;

/// A model, and a wrapped optimizer on it that freezes nothing.
fn wrapped<O: InnerOptimizer>(make: fn(&VarStore) -> O) -> (TinyBert, FreezingOptimizer<O>) {
    let model = TinyBert::new(Spec::default());
    let optimizer =
        FreezingOptimizer::new(make(&model.vs), &model.vs, &FreezingConfig::new(Never), 20).unwrap();
    (model, optimizer)
}

fn bare<O>(make: fn(&VarStore) -> O) -> (TinyBert, O) {
    let model = TinyBert::new(Spec::default());
    let optimizer = make(&model.vs);
    (model, optimizer)
}

for_every_optimizer! {
    a_wrapped_optimizer_moves_every_bit_as_the_bare_one;
    settings_reach_the_inner_optimizer;
    clipping_by_value_is_a_clamp;
    clipping_by_norm_is_tchs_formula;
}

fn a_wrapped_optimizer_moves_every_bit_as_the_bare_one<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let (model, mut optimizer) = wrapped(make);
    let (twin, mut inner) = bare(make);
    let start = snapshot(&model.vs);
    for step in 1..=20 {
        let report = optimizer.backward_step(&model.loss(step)).unwrap();
        assert!(report.applied && report.events.is_empty() && !report.should_stop);
        assert_eq!((report.step, report.total_steps), (step, 20));
        inner.zero_grad().unwrap();
        twin.loss(step).backward();
        inner.step().unwrap();
        assert_eq!(snapshot(&model.vs), snapshot(&twin.vs), "step {step}");
    }
    let moved = snapshot(&model.vs);
    assert!(start.iter().all(|(name, bits)| moved[name] != *bits), "every parameter moves");
}

fn settings_reach_the_inner_optimizer<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let (model, mut optimizer) = wrapped(make);
    let (twin, mut inner) = bare(make);
    let (other, mut untold) = wrapped(make);
    optimizer.set_lr(3e-3).unwrap();
    inner.set(None, LearningRate, 3e-3).unwrap();
    optimizer.set_weight_decay(0.5).unwrap();
    inner.set(None, WeightDecay, 0.5).unwrap();
    optimizer.set_momentum(0.7).unwrap();
    inner.set(None, Momentum, 0.7).unwrap();
    for step in 1..=3 {
        optimizer.backward_step(&model.loss(step)).unwrap();
        untold.backward_step(&other.loss(step)).unwrap();
        inner.zero_grad().unwrap();
        twin.loss(step).backward();
        inner.step().unwrap();
    }
    assert_eq!(snapshot(&model.vs), snapshot(&twin.vs));
    assert_ne!(snapshot(&model.vs), snapshot(&other.vs));
    assert_eq!(optimizer.get_ref().get(0, LearningRate), inner.get(0, LearningRate));
}

fn clipping_by_value_is_a_clamp<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    const MAX: f64 = 1e-3;
    let (model, mut optimizer) = wrapped(make);
    let (twin, mut inner) = bare(make);
    for step in 1..=5 {
        optimizer.backward_step_clip(&model.loss(step), MAX).unwrap();
        inner.zero_grad().unwrap();
        twin.loss(step).backward();
        no_grad(|| twin.variables().for_each(|(_, variable)| _ = variable.grad().clamp_(-MAX, MAX)));
        inner.step().unwrap();
        assert_eq!(snapshot(&model.vs), snapshot(&twin.vs), "step {step}");
    }
}

/// The gradients are compared, not what Adam makes of them: it blows up the rounding of those that should be 0.
fn clipping_by_norm_is_tchs_formula<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let (model, mut optimizer) = wrapped(make);
    let twin = TinyBert::new(Spec::default());
    for (step, max) in [(1, 0.05), (2, 0.3), (3, 1e9)] {
        twin.copy_from(&model);
        optimizer.zero_grad().unwrap();
        model.loss(step).backward();
        let norm = optimizer.clip_grad_norm(max).unwrap();

        for (_, variable) in twin.variables() {
            variable.shallow_clone().zero_grad();
        }
        twin.loss(step).backward();
        let (expected, factor) = tchs_clip_grad_norm(&twin, max);
        assert_number_within(norm, expected, STATISTIC.tolerance(Kind::Float), "norm");
        assert_eq!(factor < 1.0, max < 1.0, "both sides of the limit are tried: {factor}");
        for (name, variable) in model.variables() {
            assert_close(&variable.grad(), &twin.variable(name).grad(), name);
        }
        let report = optimizer.step().unwrap();
        assert_eq!(report.grad_norm(), Some(norm));
    }
}

/// `Optimizer::clip_grad_norm` of tch 0.24; the norm before and the factor.
fn tchs_clip_grad_norm(model: &TinyBert, max: f64) -> (f64, f64) {
    no_grad(|| {
        let gradients: Vec<Tensor> = model.variables().map(|(_, variable)| variable.grad()).collect();
        let norms: Vec<Tensor> = gradients.iter().map(Tensor::norm).collect();
        let norm = f64::try_from(Tensor::stack(&norms, 0).norm()).unwrap();
        let factor = max / (norm + 1e-6);
        if factor < 1.0 {
            for mut gradient in gradients {
                let _ = gradient.g_mul_scalar_(factor);
            }
        }
        (norm, factor)
    })
}

#[test]
fn each_step_of_tchs_optimizer_has_a_twin_of_the_same_name() {
    for make in [optimizers::tch_adamw, optimizers::tch_adam, optimizers::tch_sgd] {
        let (model, mut optimizer) = wrapped(make);
        let (twin, mut tchs) = bare(make);
        for step in [1, 4, 7] {
            optimizer.backward_step(&model.loss(step)).unwrap();
            tchs.backward_step(&twin.loss(step));
            optimizer.backward_step_clip(&model.loss(step + 1), 1e-3).unwrap();
            tchs.backward_step_clip(&twin.loss(step + 1), 1e-3);
            // A limit out of reach: with a factor, the two would agree to rounding only.
            optimizer.backward_step_clip_norm(&model.loss(step + 2), 1e6).unwrap();
            tchs.backward_step_clip_norm(&twin.loss(step + 2), 1e6);
            assert_eq!(snapshot(&model.vs), snapshot(&twin.vs), "step {step}");
        }
    }
}

#[test]
fn clipping_by_norm_within_a_step_is_the_same_as_before_it() {
    let (model, mut optimizer) = wrapped(optimizers::fused_adamw);
    let (twin, mut other) = wrapped(optimizers::fused_adamw);
    for step in 1..=3 {
        let report = optimizer.backward_step_clip_norm(&model.loss(step), 0.05).unwrap();
        other.zero_grad().unwrap();
        twin.loss(step).backward();
        let norm = other.clip_grad_norm(0.05).unwrap();
        assert_eq!(report.grad_norm(), Some(norm));
        other.step().unwrap();
        assert_eq!(snapshot(&model.vs), snapshot(&twin.vs), "step {step}");
    }
}

#[test]
fn a_limit_that_is_not_above_0_is_refused() {
    let (model, mut optimizer) = wrapped(optimizers::fused_adamw);
    let start = snapshot(&model.vs);
    for max in [0.0, -1.0, f64::NAN] {
        let error = optimizer.clip_grad_norm(max).unwrap_err().to_string();
        assert_eq!(error, format!("max: expected a number above 0, found {max}"));
        assert!(optimizer.clip_grad_value(max).is_err());
        assert!(optimizer.backward_step_clip(&model.loss(1), max).is_err());
        assert!(optimizer.backward_step_clip_norm(&model.loss(1), max).is_err());
    }
    assert_eq!(snapshot(&model.vs), start);
    assert_eq!(optimizer.steps(), 0);
}

#[test]
fn a_loss_that_is_no_scalar_is_an_error_and_the_step_does_not_count() {
    let (model, mut optimizer) = wrapped(optimizers::tch_adamw);
    let start = snapshot(&model.vs);
    let tokens = Tensor::from_slice(&[1i64, 2, 3, 4, 5]).view([1, 5]);
    let error = optimizer.backward_step(&model.logits(&tokens)).unwrap_err().to_string();
    assert!(error.starts_with("computing the gradients of the loss: libtorch says: "), "{error}");
    assert_eq!((optimizer.steps(), snapshot(&model.vs)), (0, start));
    assert_eq!(optimizer.backward_step(&model.loss(1)).unwrap().step, 1);
}

#[test]
fn an_optimizer_of_another_model_is_refused() {
    let (model, other) = (TinyBert::new(Spec::default()), TinyBert::new(Spec::default()));
    let config = FreezingConfig::new(Never);
    let tchs = FreezingOptimizer::new(optimizers::tch_sgd(&other.vs), &model.vs, &config, 9).unwrap_err();
    let ours = FreezingOptimizer::new(optimizers::fused_sgd(&other.vs), &model.vs, &config, 9).unwrap_err();
    for error in [tchs, ours] {
        assert!(error.to_string().starts_with("unknown parameter \"classifier.bias\""), "{error}");
    }
}
