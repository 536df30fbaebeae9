//! Every statistic against a naive computation in f64.

use grades::optim::{AdamConfig, Implementation, InnerOptimizer, SgdConfig};
use grades::statistic::Statistic;
use grades::tracker::StepReport;
use grades_tests::tolerance::{SIGNAL_FRACTION, STATISTIC, UPDATE_FROM_WEIGHTS, assert_number_within};
use tch::Kind;
use tch::nn::VarStore;

use crate::support::{COMPONENTS, Ordered, Rig, assert_near, flat, value};
use grades_tests::ReportExt;

pub(crate) const LR: f64 = 1e-2;
pub(crate) const IMPLEMENTATIONS: [Implementation; 3] =
    [Implementation::Fused, Implementation::Libtorch, Implementation::Reference];

fn change(now: &[f64], before: &[f64]) -> f64 {
    now.iter().zip(before).map(|(now, before)| (now - before).abs()).sum()
}

for_every_own_optimizer! {
    statistics_of_the_gradient_are_those_of_all_parameters_of_a_component;
    the_change_of_a_gradient_is_from_one_step_to_the_next;
    the_change_of_a_weight_is_from_one_check_to_the_next;
}

fn statistics_of_the_gradient_are_those_of_all_parameters_of_a_component<O: InnerOptimizer>(
    make: fn(&VarStore) -> O,
) {
    let rig = Rig::new();
    let mut optimizer = rig.wrap(make(&rig.vs), &Rig::config(Ordered::reading([Statistic::GradL1])));
    for step in 1..=4 {
        let gradients = rig.gradients(step);
        let report = optimizer.backward_step(&rig.loss(&gradients)).unwrap();
        for (index, component) in COMPONENTS.iter().enumerate() {
            let gradient = flat(&gradients, component);
            let n = gradient.len() as f64;
            let absolute: f64 = gradient.iter().map(|g| g.abs()).sum();
            let squares: f64 = gradient.iter().map(|g| g * g).sum();
            for (statistic, expected) in [
                (Statistic::GradL1, absolute),
                (Statistic::GradMeanAbs, absolute / n),
                (Statistic::GradL2, squares.sqrt()),
                (Statistic::GradRms, (squares / n).sqrt()),
            ] {
                assert_near(
                    value(&report, index, statistic),
                    expected,
                    &format!("{statistic} at step {step}"),
                );
            }
        }
    }
}

/// With a clip on some steps: the change is that of the unclipped gradients.
fn the_change_of_a_gradient_is_from_one_step_to_the_next<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    for check_every in [1, 3] {
        let rig = Rig::new();
        let config = Rig::config(Ordered::reading([Statistic::GradDeltaL1])).with_check_every(check_every);
        let mut optimizer = rig.wrap(make(&rig.vs), &config);
        for step in 1..=9 {
            let gradients = rig.gradients(step);
            let loss = rig.loss(&gradients);
            let report = match step % 3 {
                0 => optimizer.backward_step(&loss),
                1 => optimizer.backward_step_clip_norm(&loss, 0.1),
                _ => optimizer.backward_step_clip(&loss, 0.05),
            };
            let report = report.unwrap();
            assert_eq!(report.snapshot().is_some(), step % check_every == 0);
            for (index, component) in COMPONENTS.iter().enumerate() {
                let found = value(&report, index, Statistic::GradDeltaL1);
                if step == 1 || step % check_every != 0 {
                    assert_eq!(found, None, "step {step}: there is nothing to compare with");
                    continue;
                }
                let before = flat(&rig.gradients(step - 1), component);
                let expected = change(&flat(&gradients, component), &before);
                assert_near(found, expected, &format!("component {index} at step {step}"));
            }
        }
    }
}

fn the_change_of_a_weight_is_from_one_check_to_the_next<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    for check_every in [1, 3] {
        let rig = Rig::new();
        let config = Rig::config(Ordered::reading([Statistic::WeightDeltaL1])).with_check_every(check_every);
        let mut optimizer = rig.wrap(make(&rig.vs), &config);
        let mut before: Option<[Vec<f64>; 2]> = None;
        for step in 1..=9 {
            let report = optimizer.backward_step(&rig.loss(&rig.gradients(step))).unwrap();
            if step % check_every != 0 {
                assert!(report.snapshot().is_none());
                continue;
            }
            let now = COMPONENTS.map(|component| rig.values(component));
            for (index, now) in now.iter().enumerate() {
                let found = value(&report, index, Statistic::WeightDeltaL1);
                match &before {
                    None => assert_eq!(found, None, "a first check has nothing to compare with"),
                    Some(before) => {
                        let what = format!("component {index} at step {step}");
                        assert_near(found, change(now, &before[index]), &what);
                    }
                }
            }
            before = Some(now);
        }
    }
}

/// Builds an optimizer, fused or not.
pub(crate) type Builder = Box<dyn Fn(&VarStore, Implementation) -> Box<dyn InnerOptimizer>>;

/// The constructors of optimizers that differ in their update, by name.
pub(crate) fn builders() -> Vec<(&'static str, Builder)> {
    fn adam(config: fn() -> AdamConfig) -> Builder {
        Box::new(move |vs, implementation| {
            Box::new(config().implementation(implementation).build(vs, LR).unwrap())
        })
    }
    fn sgd(config: fn() -> SgdConfig) -> Builder {
        Box::new(move |vs, implementation| {
            Box::new(config().implementation(implementation).build(vs, LR).unwrap())
        })
    }
    vec![
        ("adam", adam(AdamConfig::adam)),
        ("adam with decay", adam(|| AdamConfig::adam().wd(0.1))),
        ("amsgrad", adam(|| AdamConfig::adam().amsgrad(true).beta2(0.9))),
        ("adamw", adam(|| AdamConfig::adamw().wd(0.1).eps(1e-3))),
        ("adam of another beta", adam(|| AdamConfig::adam().beta1(0.5))),
        ("sgd", sgd(|| SgdConfig::new().momentum(0.9))),
        ("sgd with dampening", sgd(|| SgdConfig::new().momentum(0.8).dampening(0.4))),
        ("sgd with decay", sgd(|| SgdConfig::new().momentum(0.9).wd(0.5))),
        ("nesterov", sgd(|| SgdConfig::new().momentum(0.9).nesterov(true))),
        ("nesterov with decay", sgd(|| SgdConfig::new().momentum(0.9).nesterov(true).wd(0.5))),
    ]
}

/// The decoupled decay of each optimizer of [`builders`].
pub(crate) fn decoupled(name: &str) -> f64 {
    if name == "adamw" { 0.1 } else { 0.0 }
}

/// The decay that each adds to the gradient.
fn coupled(name: &str) -> f64 {
    match name {
        "adam with decay" => 0.1,
        "sgd with decay" | "nesterov with decay" => 0.5,
        _ => 0.0,
    }
}

#[test]
fn the_mean_update_is_the_change_of_the_weights_over_the_learning_rate() {
    for (name, make) in builders() {
        for implementation in IMPLEMENTATIONS {
            let rig = Rig::new();
            let config = Rig::config(Ordered::reading([Statistic::UpdateMeanAbs])).with_check_every(2);
            let mut optimizer = rig.wrap(make(&rig.vs, implementation), &config);
            for step in 1..=8 {
                // A clip changes the update, and so the statistic.
                let lr = LR / step as f64;
                optimizer.set_lr(lr).unwrap();
                let before = COMPONENTS.map(|component| rig.values(component));
                let loss = rig.loss(&rig.gradients(step));
                let report = optimizer.backward_step_clip_norm(&loss, 1.0).unwrap();
                for (index, component) in COMPONENTS.iter().enumerate() {
                    let found = value(&report, index, Statistic::UpdateMeanAbs);
                    if step % 2 != 0 {
                        assert_eq!(found, None);
                        continue;
                    }
                    let now = rig.values(component);
                    let kept = 1.0 - lr * decoupled(name);
                    let moved: f64 =
                        now.iter().zip(&before[index]).map(|(now, before)| (before * kept - now).abs()).sum();
                    let expected = moved / (now.len() as f64 * lr);
                    // The weights are f32 of size 0.25, and the update a small part of them.
                    let found = found.unwrap();
                    let what = format!("{name}, {implementation:?}, component {index}, step {step}");
                    assert_number_within(found, expected, UPDATE_FROM_WEIGHTS, what);
                }
            }
        }
    }
}

/// The signal fraction from all gradients so far and their weights in the moving average.
pub(crate) fn signal_fraction(gradients: &[Vec<f64>], weights: &[f64]) -> f64 {
    let total: f64 = weights.iter().sum();
    let squares = |gradient: &[f64]| gradient.iter().map(|g| g * g).sum::<f64>();
    let mut mean = vec![0.0; gradients[0].len()];
    for (gradient, weight) in gradients.iter().zip(weights) {
        mean.iter_mut().zip(gradient).for_each(|(mean, g)| *mean += weight / total * g);
    }
    let power: f64 =
        gradients.iter().zip(weights).map(|(gradient, weight)| weight / total * squares(gradient)).sum();
    let survives = squares(&mean) / power;
    let noise: f64 = weights.iter().map(|weight| (weight / total).powi(2)).sum();
    (survives - noise) / (1.0 - noise)
}

/// The weights of `count` gradients in a moving average, the oldest first.
pub(crate) fn weights(count: usize, decay: f64, gain: f64, first_gain: f64) -> Vec<f64> {
    let weight = |age: usize| decay.powi(i32::try_from(age).unwrap());
    (0..count).map(|i| if i == 0 { first_gain } else { gain } * weight(count - 1 - i)).collect()
}

#[test]
fn the_signal_fraction_is_that_of_all_gradients_so_far() {
    for (name, make) in builders() {
        let (decay, gain, first) = match name {
            "sgd" | "sgd with decay" | "nesterov" | "nesterov with decay" => (0.9, 1.0, 1.0),
            "sgd with dampening" => (0.8, 0.6, 1.0),
            "adam of another beta" => (0.5, 0.5, 0.5),
            _ => (0.9, 0.1, 0.1),
        };
        for implementation in IMPLEMENTATIONS {
            let rig = Rig::new();
            let config = Rig::config(Ordered::reading([Statistic::SignalFraction])).with_check_every(2);
            let mut optimizer = rig.wrap(make(&rig.vs, implementation), &config);
            let mut seen = COMPONENTS.map(|_| Vec::new());
            for step in 1..=12 {
                let gradients = rig.gradients(step);
                // Decay through the gradient is averaged with it.
                for (seen, component) in seen.iter_mut().zip(COMPONENTS) {
                    let weights = rig.values(component);
                    let pulled = flat(&gradients, component).into_iter().zip(weights);
                    seen.push(pulled.map(|(g, w)| g + coupled(name) * w).collect::<Vec<f64>>());
                }
                let report = optimizer.backward_step(&rig.loss(&gradients)).unwrap();
                for (index, seen) in seen.iter().enumerate() {
                    if step % 2 == 0 {
                        let expected = signal_fraction(seen, &weights(seen.len(), decay, gain, first));
                        let what = format!("{name}, {implementation:?}, component {index}, step {step}");
                        assert_near(value(&report, index, Statistic::SignalFraction), expected, &what);
                    }
                }
            }
        }
    }
}

#[test]
fn under_adam_the_signal_fraction_is_the_closed_form() {
    let rig = Rig::new();
    let config = Rig::config(Ordered::reading([Statistic::SignalFraction]));
    let mut optimizer = rig.wrap(AdamConfig::adamw().build(&rig.vs, LR).unwrap(), &config);
    let beta: f64 = 0.9;
    let (mut moment, mut power) = (vec![0.0; 35], 0.0);
    for step in 1..=30 {
        let gradients = rig.gradients(step);
        let report = optimizer.backward_step(&rig.loss(&gradients)).unwrap();
        let gradient = flat(&gradients, COMPONENTS[0]);
        let squares = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>();
        moment.iter_mut().zip(&gradient).for_each(|(m, g)| *m = beta * *m + (1.0 - beta) * g);
        power = beta * power + (1.0 - beta) * squares(&gradient);
        let left = beta.powi(i32::try_from(step).unwrap());
        let share = squares(&moment) / (1.0 - left).powi(2) / (power / (1.0 - left));
        let noise = (1.0 - beta) * (1.0 + left) / ((1.0 + beta) * (1.0 - left));
        let found = value(&report, 0, Statistic::SignalFraction);
        match step {
            1 => assert_eq!(found, None, "one step tells nothing"),
            _ => assert_near(found, (share - noise) / (1.0 - noise), &format!("step {step}")),
        }
    }
}

#[test]
fn the_signal_fraction_is_one_without_noise_and_about_zero_without_signal() {
    let mean_over_the_end = |signal: f64| {
        let rig = Rig::new();
        let config = Rig::config(Ordered::reading([Statistic::SignalFraction]));
        let mut optimizer = rig.wrap(AdamConfig::adamw().build(&rig.vs, LR).unwrap(), &config);
        let mut sum = 0.0;
        for step in 1..=200 {
            let mut gradients = rig.gradients(step);
            let plain = rig.gradients(0);
            for (name, gradient) in &mut gradients {
                // Apart from the noise of step 0 the signal is the same at all steps.
                *gradient = match signal {
                    0.0 => crate::support::numbers(&format!("{name} {step}"), &gradient.size()),
                    _ => plain[name].shallow_clone(),
                };
            }
            let report: StepReport = optimizer.backward_step(&rig.loss(&gradients)).unwrap();
            if step > 20 {
                sum += value(&report, 0, Statistic::SignalFraction).unwrap() / 180.0;
            }
        }
        sum
    };
    assert_number_within(mean_over_the_end(1.0), 1.0, STATISTIC.tolerance(Kind::Float), "all signal");
    assert!(mean_over_the_end(0.0).abs() < 0.02, "{}", mean_over_the_end(0.0));
}

/// Adam and SGD add the decay to the gradient, so it is in the moment: it must be in the gradient's power, too.
#[test]
fn decay_through_the_gradient_is_neither_signal_above_one_nor_noise() {
    let makes: [Builder; 2] = [
        Box::new(|vs, _| Box::new(AdamConfig::adam().wd(1.0).build(vs, 1e-5).unwrap())),
        Box::new(|vs, _| Box::new(SgdConfig::new().momentum(0.9).wd(1.0).build(vs, 1e-5).unwrap())),
    ];
    for make in makes {
        let rig = Rig::new();
        let mut optimizer = rig.wrap(
            make(&rig.vs, Implementation::Fused),
            &Rig::config(Ordered::reading([Statistic::SignalFraction])),
        );
        for step in 1..=30 {
            let mut gradients = rig.gradients(step);
            gradients.values_mut().for_each(|gradient| *gradient *= 1e-3);
            let report = optimizer.backward_step(&rig.loss(&gradients)).unwrap();
            let found = value(&report, 0, Statistic::SignalFraction);
            assert!(
                found.is_none_or(|s| s <= 1.0 + SIGNAL_FRACTION),
                "{} at step {step}: {found:?}",
                optimizer.get_ref().name()
            );
        }
    }
}
