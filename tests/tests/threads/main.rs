//! Contract 8 with different numbers of threads. A program of its own, because that number is one per program.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

use std::sync::{Mutex, MutexGuard, PoisonError};

use grades::component::{ComponentConfig, ComponentKind};
use grades::optim::AdamConfig;
use grades::statistic::Statistic;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_policies as _;
use grades_tests::tolerance::{GRADIENT_SUM, assert_number_within};
use grades_tests::{Never, ReportExt, Spec, TinyBert, bits};
use tch::{Kind, Tensor, nn};

/// One test at a time may set the number of threads.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the freezes of a run whose matrices are large enough to be split among threads.
fn freezes(threads: i32) -> Vec<(u64, String)> {
    tch::set_num_threads(threads);
    let model = TinyBert::new(Spec { hidden: 192, ..Spec::default() });
    let config = r#"
        [freezing]
        grace = 0.1
        [freezing.policy]
        name = "patience"
        hits = 2
        policy = { name = "fixed-threshold", metric = "grad-rms", tau = 5e-4 }
    "#;
    let config = FreezingConfig::from_toml(config).unwrap();
    let inner = AdamConfig::adamw().build(&model.vs, 1e-3).unwrap();
    let mut optimizer = FreezingOptimizer::new(inner, &model.vs, &config, 30).unwrap();
    let mut freezes = Vec::new();
    for step in 1..=30 {
        let report = optimizer.backward_step(&model.loss(step % 3)).unwrap();
        freezes.extend(report.events.into_iter().map(|event| (event.step, event.component)));
    }
    freezes
}

#[test]
fn the_same_components_freeze_at_the_same_steps() {
    let _alone = alone();
    let one = freezes(1);
    assert!(one.len() > 1, "{one:?}");
    assert!(one.first().unwrap().0 < one.last().unwrap().0, "spread over the run: {one:?}");
    for threads in [2, 3, 5] {
        assert_eq!(freezes(threads), one, "{threads} threads");
    }
}

#[test]
fn the_statistics_of_one_gradient_are_the_same_bits() {
    let _alone = alone();
    let values: Vec<f32> =
        (0..1_000_003u64).map(|index| ((index * 7919) % 10_007) as f32 * 1e-3 - 5.0).collect();
    let gradient = Tensor::from_slice(&values);
    let sample = |threads| {
        tch::set_num_threads(threads);
        let vs = nn::VarStore::new(tch::Device::Cpu);
        let weight = vs.root().var("w", &[1_000_003], nn::Init::Const(0.0));
        let components = ComponentConfig::default().with_pattern("w", ComponentKind::Up).unwrap();
        let config = FreezingConfig::new(Never).with_components(components);
        let inner = AdamConfig::adamw().build(&vs, 1e-3).unwrap();
        let mut optimizer = FreezingOptimizer::new(inner, &vs, &config, 9).unwrap();
        let report = optimizer.backward_step(&(&weight * &gradient).sum(Kind::Float)).unwrap();
        assert_eq!(bits(&weight.grad()), bits(&gradient));
        report.snapshot().unwrap().samples()[0].unwrap()
    };
    let one = sample(1);
    let exact: f64 = values.iter().map(|value| f64::from(value.abs())).sum();
    let l1 = one.get(Statistic::GradL1).unwrap();
    assert_number_within(l1, exact, GRADIENT_SUM.tolerance(Kind::Double), "L1 norm");
    for threads in [2, 3, 5] {
        assert_eq!(sample(threads), one, "{threads} threads");
    }
}
