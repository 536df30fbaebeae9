//! Contract 11: one sample per optimizer step, of the accumulated and unclipped gradients.

use grades::component::{ComponentConfig, ComponentKind};
use grades::config::Followers;
use grades::optim::InnerOptimizer;
use grades::statistic::{GradientSnapshot, Statistic};
use grades::tracker::StepReport;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_tests::tolerance::{STATISTIC, assert_number_within};
use grades_tests::{FreezeAt, Never, ReportExt, Spec, TinyBert, assert_close, bits};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor, nn};

use crate::optimizers;

for_every_optimizer! {
    several_backwards_and_one_step_are_one_sample_of_the_sum;
    statistics_are_those_before_any_clip;
    clipping_covers_active_parameters_only;
}

fn wrapped<O: InnerOptimizer>(
    make: fn(&VarStore) -> O,
    policy: FreezeAt,
) -> (TinyBert, FreezingOptimizer<O>) {
    let model = TinyBert::new(Spec::default());
    let config = FreezingConfig::new(policy).with_followers(Followers::Keep);
    let optimizer = FreezingOptimizer::new(make(&model.vs), &model.vs, &config, 20).unwrap();
    (model, optimizer)
}

/// Σ|g| of a component's gradient, computed by libtorch in f64.
fn l1(model: &TinyBert, component: &str) -> f64 {
    let gradient = model.variable(&format!("{component}.weight")).grad();
    f64::try_from(gradient.to_kind(Kind::Double).abs().sum(Kind::Double)).unwrap()
}

fn sample(snapshot: &GradientSnapshot, index: usize) -> f64 {
    snapshot.samples()[index].unwrap().get(Statistic::GradL1).unwrap()
}

fn several_backwards_and_one_step_are_one_sample_of_the_sum<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let policy = FreezeAt::new([]);
    let (model, mut optimizer) = wrapped(make, policy.clone());
    for step in 1..=3 {
        optimizer.zero_grad().unwrap();
        let mut apart = 0.0;
        for part in 0..4 {
            let before = model.variable("encoder.layer.0.attention.self.query.weight").grad();
            let before = before.defined().then(|| before.copy());
            (model.loss(4 * step + part) / 4.0).backward();
            let now = model.variable("encoder.layer.0.attention.self.query.weight").grad();
            let this = before.map_or(now.copy(), |before| now - before);
            apart += f64::try_from(this.abs().sum(Kind::Double)).unwrap();
        }
        let expected: Vec<f64> =
            optimizer.components().iter().map(|component| l1(&model, &component.name)).collect();
        let report = optimizer.step().unwrap();
        assert_eq!(report.step, step);

        let asked = policy.take_asked();
        assert_eq!(asked.len(), 12, "each component once per step");
        for ((_, at, value), expected) in asked.iter().zip(&expected) {
            assert_eq!(*at, step);
            assert_number_within(*value, *expected, STATISTIC.tolerance(Kind::Float), "L1 norm");
        }
        assert!(expected[0] < 0.99 * apart, "the norm of a sum, not a sum of norms: {} {apart}", expected[0]);
    }
}

fn statistics_are_those_before_any_clip<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    type Step<O> = fn(&mut FreezingOptimizer<O>, &Tensor) -> StepReport;
    let steps: [Step<O>; 7] = [
        |optimizer, loss| optimizer.backward_step(loss).unwrap(),
        |optimizer, loss| optimizer.backward_step_clip(loss, 1e-6).unwrap(),
        |optimizer, loss| optimizer.backward_step_clip_norm(loss, 1e-3).unwrap(),
        |optimizer, loss| {
            optimizer.zero_grad().unwrap();
            loss.backward();
            optimizer.clip_grad_norm(1e-3).unwrap();
            optimizer.step().unwrap()
        },
        |optimizer, loss| {
            optimizer.zero_grad().unwrap();
            loss.backward();
            optimizer.clip_grad_value(1e-6).unwrap();
            optimizer.step().unwrap()
        },
        |optimizer, loss| {
            optimizer.zero_grad().unwrap();
            loss.backward();
            optimizer.clip_grad_value(1e-6).unwrap();
            optimizer.clip_grad_norm(1e-5).unwrap();
            optimizer.step().unwrap()
        },
        |optimizer, loss| {
            optimizer.zero_grad().unwrap();
            loss.backward();
            optimizer.clip_grad_norm(1e-3).unwrap();
            optimizer.clip_grad_norm(1e-5).unwrap();
            optimizer.step().unwrap()
        },
    ];
    let mut unclipped: Option<GradientSnapshot> = None;
    for (index, step) in steps.into_iter().enumerate() {
        let (model, mut optimizer) = wrapped(make, FreezeAt::new([]));
        let report = step(&mut optimizer, &model.loss(1));
        let snapshot = report.snapshot().unwrap();
        let plain = unclipped.get_or_insert_with(|| snapshot.clone());
        assert_eq!(*snapshot, *plain, "way {index}");
        // The gradients themselves were clipped, but for the way in which the update takes the factor in.
        let left = l1(&model, &optimizer.components()[0].name);
        let inside = index == 2 && optimizer.get_ref().capabilities().moments;
        assert!((left < 0.5 * sample(plain, 0)) == (index > 0) || inside, "way {index}: {left}");
    }
}

fn clipping_covers_active_parameters_only<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let (model, mut optimizer) = wrapped(make, FreezeAt::new([("layer.0", 2)]));
    for batch in 1..=2 {
        optimizer.backward_step(&model.loss(batch)).unwrap();
    }
    // What `VarStore::unfreeze` does: the frozen ones get gradients again.
    for variable in model.vs.trainable_variables() {
        let _ = variable.set_requires_grad(true);
    }
    optimizer.zero_grad().unwrap();
    model.loss(3).backward();
    let frozen: Vec<String> =
        optimizer.components()[..6].iter().map(|component| format!("{}.weight", component.name)).collect();
    let square = |gradient: Tensor| f64::try_from(gradient.square().sum(Kind::Double)).unwrap();
    let norm = |frozen_too: bool| -> f64 {
        let counted =
            model.variables().filter(|(name, _)| frozen_too || !frozen.iter().any(|frozen| frozen == name));
        counted.map(|(_, variable)| square(variable.grad())).sum::<f64>().sqrt()
    };
    let (active, all) = (norm(false), norm(true));
    assert!(all > 1.0001 * active, "the frozen ones would matter: {all}, {active}");
    let expected: Vec<(String, Tensor)> = model
        .variables()
        .filter(|(name, _)| !frozen.iter().any(|frozen| frozen == name))
        .map(|(name, variable)| (name.to_owned(), variable.grad() * (0.1 / (active + 1e-6))))
        .collect();
    let found = optimizer.clip_grad_norm(0.1).unwrap();
    assert_number_within(found, active, STATISTIC.tolerance(Kind::Float), "norm");
    for (name, gradient) in &expected {
        assert_close(&model.variable(name).grad(), gradient, name);
    }
    assert!(frozen.iter().all(|name| !model.variable(name).grad().defined()));
}

#[test]
fn steps_that_are_not_checked_have_no_sample() {
    let model = TinyBert::new(Spec::default());
    let policy = FreezeAt::new([]);
    let config = FreezingConfig::new(policy.clone()).with_followers(Followers::Keep).with_check_every(3);
    let mut optimizer =
        FreezingOptimizer::new(optimizers::fused_adamw(&model.vs), &model.vs, &config, 20).unwrap();
    for step in 1..=9 {
        // With a clip too, which sums the gradients all the same.
        let report = match step % 2 {
            0 => optimizer.backward_step_clip_norm(&model.loss(step), 0.1).unwrap(),
            _ => optimizer.backward_step(&model.loss(step)).unwrap(),
        };
        assert_eq!(report.snapshot().is_some(), step % 3 == 0, "step {step}");
        assert_eq!(report.grad_norm().is_some(), step % 2 == 0, "step {step}");
    }
    let steps: Vec<u64> = policy.take_asked().iter().map(|(_, step, _)| *step).collect();
    assert_eq!(steps.len(), 36);
    assert!(steps.iter().all(|step| step % 3 == 0));
}

#[test]
fn a_clip_whose_step_never_came_leaves_no_sample_behind() {
    let (model, mut optimizer) = wrapped(optimizers::fused_adamw, FreezeAt::new([]));
    model.loss(1).backward();
    optimizer.clip_grad_norm(1e-3).unwrap();
    // The caller drops this batch, and goes on with another.
    optimizer.zero_grad().unwrap();
    model.loss(2).backward();
    let expected = l1(&model, &optimizer.components()[0].name);
    let report = optimizer.step().unwrap();
    assert_eq!(report.grad_norm(), None);
    let found = sample(report.snapshot().unwrap(), 0);
    assert_number_within(found, expected, STATISTIC.tolerance(Kind::Float), "L1 norm");
}

#[test]
fn sums_of_half_precision_gradients_are_wider() {
    for (kind, gradient) in [(Kind::Half, 100.0), (Kind::BFloat16, 1.0)] {
        let vs = nn::VarStore::new(Device::Cpu);
        let mut weight = vs.root().var("w", &[64, 64], nn::Init::Const(0.0));
        weight.set_data(&weight.to_kind(kind));
        let components = ComponentConfig::default().with_pattern("w", ComponentKind::Up).unwrap();
        let config = FreezingConfig::new(Never).with_components(components);
        let mut optimizer = FreezingOptimizer::new(optimizers::tch_sgd(&vs), &vs, &config, 20).unwrap();
        // 409600 is more than f16 can hold, and bf16 cannot count beyond 256 by ones.
        let report = optimizer.backward_step(&(&weight * gradient).sum(Kind::Float)).unwrap();
        assert_eq!(weight.grad().kind(), kind);
        let sample = report.snapshot().unwrap().samples()[0].unwrap();
        assert_eq!(sample.get(Statistic::GradL1), Some(4096.0 * gradient), "{kind:?}");
        assert_eq!(sample.get(Statistic::GradL2), Some(64.0 * gradient), "{kind:?}");
        assert_eq!(sample.elements(), 4096);
    }
}

#[test]
fn watching_does_not_touch_the_gradients() {
    let (model, mut optimizer) = wrapped(optimizers::fused_adamw, FreezeAt::new([]));
    model.loss(1).backward();
    let before: Vec<_> = model.variables().map(|(_, variable)| bits(&variable.grad())).collect();
    optimizer.step().unwrap();
    let after: Vec<_> = model.variables().map(|(_, variable)| bits(&variable.grad())).collect();
    assert_eq!(before, after);
}
