//! Errors of the published code of GradES that are not made here; the list is in `main.rs`.

use grades::component::{ComponentConfig, ComponentKind, ComponentMap, ParameterInfo};
use grades::optim::{Adam, AdamConfig};
use grades::statistic::Statistic;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_policies as _;
use grades_tests::{ReportExt, Spec, TinyBert};
use tch::nn::{Init, VarStore};
use tch::{Device, Kind, Tensor};

use crate::support::{Ordered, Rig, SINGLE, value};

/// The rule of the paper with the statistic of its published code, and a threshold that a real change is above.
fn published(freezing: &str) -> FreezingConfig {
    let policy = "[freezing.policy]\nname = 'fixed-threshold'\nmetric = 'weight-delta-l1'\ntau = 1e-4\n";
    FreezingConfig::from_toml(&format!("[freezing]\n{freezing}\n{policy}")).unwrap()
}

fn wrapped(model: &TinyBert, config: &FreezingConfig) -> FreezingOptimizer<Adam> {
    let inner = AdamConfig::adamw().build(&model.vs, 1e-3).unwrap();
    FreezingOptimizer::new(inner, &model.vs, config, 40).unwrap()
}

#[test]
fn a_first_comparison_is_none() {
    // The package froze 21 of 21 at step 1 with a grace period of 0.
    for metric in Statistic::ALL {
        let rig = Rig::new();
        let policy = format!("[freezing.policy]\nname = 'fixed-threshold'\nmetric = '{metric}'\ntau = 1e9\n");
        let config = FreezingConfig::from_toml(&policy).unwrap().with_components(Rig::components());
        let mut optimizer = rig.wrap(AdamConfig::adamw().build(&rig.vs, 1e-2).unwrap(), &config);
        let mut step = |seed| {
            optimizer.zero_grad().unwrap();
            optimizer.backward_accumulate(&rig.loss(&rig.gradients(seed)), 0.5).unwrap();
            optimizer.backward_accumulate(&rig.loss(&rig.gradients(seed + 1)), 0.5).unwrap();
            optimizer.step().unwrap().frozen
        };
        assert_eq!(step(1), 0, "{metric}");
        assert_eq!(step(3), 2, "{metric}: from the second on all are below");
    }
    let model = TinyBert::new(Spec::default());
    let mut optimizer = wrapped(&model, &published("grace = 0.0"));
    for step in 1..=10 {
        assert_eq!(optimizer.backward_step(&model.loss(step)).unwrap().frozen, 0, "step {step}");
    }
}

#[test]
fn a_check_interval_longer_than_the_grace_period_freezes_nothing_at_once() {
    let model = TinyBert::new(Spec::default());
    let mut optimizer = wrapped(&model, &published("grace = 0.1\ncheck_every = 10"));
    for step in 1..=40 {
        assert_eq!(optimizer.backward_step(&model.loss(step)).unwrap().frozen, 0, "step {step}");
    }
}

#[test]
fn a_wrapper_made_late_in_a_run_freezes_nothing_at_once() {
    // As after a restart without any saved state: what has not been compared has not converged.
    let model = TinyBert::new(Spec::default());
    for _ in 0..3 {
        let mut optimizer = wrapped(&model, &published("grace = 0.0"));
        for step in 1..=5 {
            let report = optimizer.backward_step(&model.loss(step)).unwrap();
            assert_eq!((report.frozen, report.should_stop), (0, false), "step {step}");
        }
    }
}

#[test]
fn an_error_while_measuring_is_an_error_and_freezes_nothing() {
    let vs = VarStore::new(Device::Cpu);
    let table = vs.root().var("table", &[6, 4], Init::Const(0.5));
    let weight = vs.root().var("weight", &[6, 4], Init::Const(0.5));
    let components = ComponentConfig::default().with_pattern("table|weight", ComponentKind::Up).unwrap();
    let config =
        FreezingConfig::from_toml("[freezing.policy]\nname = 'fixed-threshold'\ntau = 1e-6\n").unwrap();
    let mut optimizer = FreezingOptimizer::new(
        AdamConfig::adamw().build(&vs, 1e-2).unwrap(),
        &vs,
        &config.with_components(components),
        40,
    )
    .unwrap();
    let loss = |sparse: bool| {
        let ids = Tensor::from_slice(&[0i64, 1, 2, 3, 4, 5]);
        (Tensor::embedding(&table, &ids, -1, false, sparse) * &weight).sum(Kind::Float)
    };
    for _ in 0..3 {
        optimizer.backward_step(&loss(false)).unwrap();
    }
    // No kernel sums a sparse gradient: the package would have read 0 and frozen all.
    for _ in 0..2 {
        let error = optimizer.backward_step(&loss(true)).unwrap_err().to_string();
        assert!(error.contains("libtorch says: a sparse gradient is not supported"), "{error}");
        assert_eq!((optimizer.tracker().frozen(), optimizer.steps()), (0, 3));
    }
    let report = optimizer.backward_step(&loss(false)).unwrap();
    assert_eq!((report.step, report.frozen), (4, 0));
}

#[test]
fn a_falling_learning_rate_freezes_nothing() {
    // The same gradients under a learning rate that falls to a millionth. Only what is there for parity follows it.
    let gradients = [Statistic::GradL1, Statistic::GradMeanAbs, Statistic::GradL2, Statistic::GradRms];
    let ours = [Statistic::GradDeltaL1, Statistic::UpdateMeanAbs, Statistic::SignalFraction];
    let reads = gradients.into_iter().chain(ours).chain([Statistic::WeightDeltaL1]);
    let values = |falls: bool| {
        let rig = Rig::new();
        let inner = AdamConfig::adamw().build(&rig.vs, 1e-2).unwrap();
        let mut optimizer = rig.wrap(inner, &Rig::config(Ordered::reading(reads.clone())));
        let mut last = None;
        for step in 1..=30 {
            let lr = if falls { 1e-2 * 0.6f64.powi(step) } else { 1e-2 };
            optimizer.set_lr(lr).unwrap();
            let gradients = rig.gradients(u64::try_from(step).unwrap());
            last = Some(optimizer.backward_step(&rig.loss(&gradients)).unwrap());
        }
        last.unwrap()
    };
    let (falling, constant) = (values(true), values(false));
    for statistic in gradients.into_iter().chain(ours) {
        let found = |report| value(report, 0, statistic).unwrap();
        assert_eq!(found(&falling), found(&constant), "{statistic}");
    }
    let moved = |report| value(report, 0, Statistic::WeightDeltaL1).unwrap();
    assert!(moved(&falling) < 1e-3 * moved(&constant));
}

#[test]
fn updates_that_bf16_swallows_are_still_seen() {
    let rig = Rig::of_kind(Kind::BFloat16);
    let reads =
        [Statistic::GradL1, Statistic::UpdateMeanAbs, Statistic::SignalFraction, Statistic::WeightDeltaL1];
    let inner = AdamConfig::adamw().wd(0.0).build(&rig.vs, 1e-7).unwrap();
    let mut optimizer = rig.wrap(inner, &Rig::config(Ordered::reading(reads)));
    for step in 1..=10 {
        let before = rig.values(&[SINGLE]);
        let report = optimizer.backward_step(&rig.loss(&rig.gradients(0))).unwrap();
        assert_eq!(rig.values(&[SINGLE]), before, "a step of 1e-7 is less than bf16 can tell");
        assert!(value(&report, 0, Statistic::GradL1).unwrap() > 1.0);
        let update = value(&report, 0, Statistic::UpdateMeanAbs).unwrap();
        assert!((update - 1.0).abs() < 0.05, "{update}");
        if step > 1 {
            let fraction = value(&report, 0, Statistic::SignalFraction).unwrap();
            assert!((fraction - 1.0).abs() < 0.05, "step {step}: {fraction}");
            assert_eq!(value(&report, 0, Statistic::WeightDeltaL1), Some(0.0));
        }
    }
}

#[test]
fn a_change_larger_than_f16_can_hold_is_a_number() {
    let vs = VarStore::new(Device::Cpu);
    let mut weight = vs.root().var("w", &[64, 64], Init::Const(0.0));
    weight.set_data(&weight.to_kind(Kind::Half));
    let components = ComponentConfig::default().with_pattern("w", ComponentKind::Up).unwrap();
    let policy = Ordered::reading([Statistic::GradDeltaL1, Statistic::GradL1]);
    let config = FreezingConfig::new(policy).with_components(components);
    let mut optimizer = FreezingOptimizer::new(crate::optimizers::tch_sgd(&vs), &vs, &config, 20).unwrap();
    optimizer.set_lr(0.0).unwrap();
    let mut report = None;
    for gradient in [40_000.0, -40_000.0] {
        report = Some(optimizer.backward_step(&(&weight * gradient).sum(Kind::Float)).unwrap());
    }
    let report = report.unwrap();
    assert_eq!(value(&report, 0, Statistic::GradL1), Some(4096.0 * 40_000.0));
    // 80000 is more than the largest f16, 65504.
    assert_eq!(value(&report, 0, Statistic::GradDeltaL1), Some(4096.0 * 80_000.0));
    assert!(report.non_finite().is_empty());
}

#[test]
fn gpt2_has_components() {
    let parameters = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]
        .map(|name| ParameterInfo::new(format!("transformer.h.0.{name}.weight"), [8, 8]));
    let map = ComponentMap::new(&parameters, &ComponentConfig::default()).unwrap();
    assert_eq!((map.layout(), map.components().len()), ("gpt2", 4));
}
