//! Signal and noise from micro-batches.

use grades::FreezingConfig;
use grades::optim::InnerOptimizer;
use grades::statistic::Statistic;
use grades_policies as _;
use tch::nn::VarStore;

use crate::optimizers;
use crate::support::{COMPONENTS, Ordered, Rig, assert_near, flat, value};
use grades_tests::ReportExt;

for_every_optimizer! {
    micro_batches_of_unequal_sizes_give_mccandlishs_estimates;
}

/// The gradients of the micro-batches of a step, with their shares.
fn micro(step: u64) -> Vec<(u64, f64)> {
    match step % 3 {
        0 => vec![(10 * step, 0.5), (10 * step + 1, 0.5)],
        1 => vec![(10 * step, 0.125), (10 * step + 1, 0.625), (10 * step + 2, 0.25)],
        _ => vec![(10 * step, 0.75), (10 * step + 1, 0.25)],
    }
}

fn micro_batches_of_unequal_sizes_give_mccandlishs_estimates<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let rig = Rig::new();
    let policy = Ordered::reading([Statistic::TwoBatchSignal, Statistic::TwoBatchNoise]);
    let mut optimizer = rig.wrap(make(&rig.vs), &Rig::config(policy));
    for step in 1..=7 {
        optimizer.zero_grad().unwrap();
        for (seed, share) in micro(step) {
            optimizer.backward_accumulate(&rig.loss(&rig.gradients(seed)), share).unwrap();
        }
        if step % 2 == 0 {
            optimizer.clip_grad_norm(1e-3).unwrap();
        }
        let report = optimizer.step().unwrap();
        for (index, component) in COMPONENTS.iter().enumerate() {
            let parts: Vec<(Vec<f64>, f64)> = micro(step)
                .into_iter()
                .map(|(seed, share)| (flat(&rig.gradients(seed), component), share))
                .collect();
            let mut whole = vec![0.0; parts[0].0.len()];
            for (gradient, share) in &parts {
                whole.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += share * g);
            }
            let squares = |gradient: &[f64]| gradient.iter().map(|g| g * g).sum::<f64>();
            // In units of the step's examples: the small batch is a share of 1.
            let (small, large, share) = (squares(&parts[0].0), squares(&whole), parts[0].1);
            let signal = (large - share * small) / (1.0 - share);
            let noise = (small - large) / (1.0 / share - 1.0);
            let what = format!("component {index}, step {step}");
            assert_near(value(&report, index, Statistic::TwoBatchSignal), signal, &what);
            assert_near(value(&report, index, Statistic::TwoBatchNoise), noise, &what);
        }
    }
}

#[test]
fn micro_batches_add_up_to_the_gradient_of_the_whole() {
    let (rig, twin) = (Rig::new(), Rig::new());
    let config = Rig::config(Ordered::reading([Statistic::TwoBatchSignal]));
    let mut optimizer = rig.wrap(optimizers::fused_adamw(&rig.vs), &config);
    let mut whole = twin.wrap(optimizers::fused_adamw(&twin.vs), &Rig::config(Ordered::reading([])));
    for step in 1..=4 {
        optimizer.zero_grad().unwrap();
        whole.zero_grad().unwrap();
        for (seed, share) in micro(step) {
            optimizer.backward_accumulate(&rig.loss(&rig.gradients(seed)), share).unwrap();
            (twin.loss(&twin.gradients(seed)) * share).backward();
        }
        optimizer.step().unwrap();
        whole.step().unwrap();
        for component in COMPONENTS {
            assert_eq!(rig.values(component), twin.values(component), "step {step}");
        }
    }
}

#[test]
fn a_policy_may_read_either_of_the_two() {
    for metric in ["two-batch-signal", "two-batch-noise"] {
        let rig = Rig::new();
        let document =
            format!("[freezing.policy]\nname = 'fixed-threshold'\nmetric = '{metric}'\ntau = 1e9\n");
        let config = FreezingConfig::from_toml(&document).unwrap().with_components(Rig::components());
        let mut optimizer = rig.wrap(optimizers::fused_adamw(&rig.vs), &config);
        for step in 1..=2 {
            optimizer.zero_grad().unwrap();
            for (seed, share) in micro(step) {
                optimizer.backward_accumulate(&rig.loss(&rig.gradients(seed)), share).unwrap();
            }
            let report = optimizer.step().unwrap();
            assert_eq!(report.frozen, if step == 2 { 2 } else { 0 }, "{metric}");
        }
    }
}

#[test]
fn a_step_of_one_batch_alone_is_an_error_that_says_what_to_do_and_none_later() {
    let rig = Rig::new();
    let policy = Ordered::reading([Statistic::TwoBatchSignal, Statistic::TwoBatchNoise]);
    let mut optimizer = rig.wrap(optimizers::fused_adamw(&rig.vs), &Rig::config(policy));
    let loss = |seed| rig.loss(&rig.gradients(seed));
    let told = |error: grades::Error| {
        let text = error.to_string();
        assert!(text.contains("two-batch-signal, two-batch-noise"), "{text}");
        assert!(text.contains("FreezingOptimizer::backward_accumulate"), "{text}");
    };
    told(optimizer.backward_step(&loss(1)).unwrap_err());
    optimizer.zero_grad().unwrap();
    optimizer.backward_accumulate(&loss(2), 1.0).unwrap();
    told(optimizer.step().unwrap_err());

    optimizer.zero_grad().unwrap();
    optimizer.backward_accumulate(&loss(3), 0.5).unwrap();
    optimizer.backward_accumulate(&loss(4), 0.5).unwrap();
    assert!(value(&optimizer.step().unwrap(), 0, Statistic::TwoBatchSignal).is_some());
    // As at the end of an epoch.
    optimizer.zero_grad().unwrap();
    optimizer.backward_accumulate(&loss(5), 1.0).unwrap();
    let report = optimizer.step().unwrap();
    assert!(report.applied && report.non_finite().is_empty());
    assert_eq!(value(&report, 0, Statistic::TwoBatchSignal), None);
}

#[test]
fn a_share_that_is_none_is_refused() {
    let rig = Rig::new();
    let mut optimizer = rig.wrap(optimizers::tch_sgd(&rig.vs), &Rig::config(Ordered::reading([])));
    for share in [0.0, -0.5, 1.5, f64::NAN] {
        let error =
            optimizer.backward_accumulate(&rig.loss(&rig.gradients(1)), share).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("share: expected a share of the step's examples above 0, up to 1, found {share}")
        );
    }
    assert!(COMPONENTS.iter().flat_map(|c| *c).all(|name| !rig.parameter(name).grad().defined()));
}
