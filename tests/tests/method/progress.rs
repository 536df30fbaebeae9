//! The statistic `progress` against weights and losses, in closed form, and under clips.

use grades::FreezingOptimizer;
use grades::optim::{AdamConfig, Implementation, InnerOptimizer, SgdConfig};
use grades::statistic::Statistic;
use grades_tests::tolerance::{FORMULA, STATISTIC_OF_STEPS, UPDATE_FROM_WEIGHTS, assert_number_within};
use tch::nn::VarStore;
use tch::{Kind, Tensor};

use crate::statistics::{Builder, IMPLEMENTATIONS, LR, builders, decoupled};
use crate::support::{COMPONENTS, Ordered, Rig, assert_near, flat, numbers, value};

for_every_own_optimizer! {
    a_clip_changes_the_update_and_not_the_progress;
}

fn reading<O: InnerOptimizer>(rig: &Rig, inner: O) -> FreezingOptimizer<O> {
    rig.wrap(inner, &Rig::config(Ordered::reading([Statistic::Progress])))
}

fn product(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

#[test]
fn progress_is_the_slope_of_the_loss_along_the_update_before() {
    // In Nesterov's form the direction is the buffer, which is not the update.
    for (name, make) in builders().into_iter().filter(|(name, _)| !name.starts_with("nesterov")) {
        for implementation in IMPLEMENTATIONS {
            let rig = Rig::new();
            let mut optimizer = reading(&rig, make(&rig.vs, implementation));
            let mut before: Option<([Vec<f64>; 2], f64)> = None;
            for step in 1..=8 {
                let lr = LR / step as f64;
                optimizer.set_lr(lr).unwrap();
                let now = COMPONENTS.map(|component| rig.values(component));
                let gradients = rig.gradients(step);
                // A clip at some steps changes the next direction, and not this gradient.
                let loss = rig.loss(&gradients);
                let report = match step % 2 {
                    0 => optimizer.backward_step_clip_norm(&loss, 1.0).unwrap(),
                    _ => optimizer.backward_step(&loss).unwrap(),
                };
                for (index, component) in COMPONENTS.iter().enumerate() {
                    let found = value(&report, index, Statistic::Progress);
                    let what = format!("{name}, {implementation:?}, component {index}, step {step}");
                    let Some((before, lr_before)) = &before else {
                        assert_eq!(found, None, "{what}: there was no update before");
                        continue;
                    };
                    let kept = 1.0 - lr_before * decoupled(name);
                    let moved =
                        now[index].iter().zip(&before[index]).map(|(now, before)| before * kept - now);
                    let moved: Vec<f64> = moved.map(|moved| moved * lr / lr_before).collect();
                    let gradient = flat(&gradients, component);
                    let terms: f64 = gradient.iter().zip(&moved).map(|(g, moved)| (g * moved).abs()).sum();
                    let off = (found.unwrap() - product(&gradient, &moved)).abs();
                    assert!(off <= UPDATE_FROM_WEIGHTS * terms, "{what}: off by {off:e} of {terms:e}");
                }
                before = Some((now, lr));
            }
        }
    }
}

/// A quadratic falls from one step to the next by the mean of the slopes at both ends of the update between them.
#[test]
fn on_a_quadratic_two_progresses_make_up_the_fall_of_the_loss() {
    let makes: [Builder; 3] = [
        Box::new(|vs, how| Box::new(AdamConfig::adam().implementation(how).build(vs, 0.05).unwrap())),
        Box::new(|vs, how| {
            Box::new(AdamConfig::adamw().wd(0.0).implementation(how).build(vs, 0.05).unwrap())
        }),
        Box::new(|vs, how| {
            Box::new(SgdConfig::new().momentum(0.9).implementation(how).build(vs, 0.05).unwrap())
        }),
    ];
    for make in makes {
        for implementation in IMPLEMENTATIONS {
            let rig = Rig::of_kind(Kind::Double);
            let mut optimizer = reading(&rig, make(&rig.vs, implementation));
            let optima = COMPONENTS.map(|names| {
                names
                    .iter()
                    .map(|name| numbers(&format!("at {name}"), &rig.parameter(name).size()))
                    .collect::<Vec<_>>()
            });
            type OfComponents = [Vec<f64>; 2];
            let mut before: Option<(OfComponents, OfComponents, f64)> = None;
            for step in 1..=30 {
                let mut loss = Tensor::from(0f64);
                let mut slopes = [Vec::new(), Vec::new()];
                for (index, names) in COMPONENTS.iter().enumerate() {
                    for (name, optimum) in names.iter().zip(&optima[index]) {
                        let away = rig.parameter(name) - optimum.to_kind(Kind::Double);
                        let curvature = 1.0 + index as f64;
                        loss += (&away * &away).sum(Kind::Double) * (0.5 * curvature);
                        slopes[index].extend(crate::support::doubles(&(away * curvature)));
                    }
                }
                let weights = COMPONENTS.map(|component| rig.values(component));
                let report = optimizer.backward_step(&loss).unwrap();
                let loss = f64::try_from(&loss).unwrap();
                if let Some((weights_before, slopes_before, loss_before)) = before {
                    let mut fall = 0.0;
                    for index in 0..2 {
                        let moved: Vec<f64> = weights_before[index]
                            .iter()
                            .zip(&weights[index])
                            .map(|(before, now)| before - now)
                            .collect();
                        let at_the_end = value(&report, index, Statistic::Progress).unwrap();
                        fall += 0.5 * (product(&slopes_before[index], &moved) + at_the_end);
                    }
                    let what = format!("{}, {implementation:?}, step {step}", optimizer.get_ref().name());
                    let expected = loss_before - loss;
                    assert!(
                        (fall - expected).abs() <= FORMULA * loss_before,
                        "{what}: {fall} is not {expected}"
                    );
                }
                before = Some((weights, slopes, loss));
            }
        }
    }
}

#[test]
fn a_gradient_that_never_changes_gives_its_norm() {
    let momentum: f64 = 0.9;
    for implementation in IMPLEMENTATIONS {
        for (adam, lr) in [(true, LR), (false, 1e-3)] {
            let rig = Rig::new();
            let inner: Box<dyn InnerOptimizer> = match adam {
                true => Box::new(
                    AdamConfig::adamw().wd(0.3).implementation(implementation).build(&rig.vs, lr).unwrap(),
                ),
                false => Box::new(
                    SgdConfig::new()
                        .momentum(momentum)
                        .implementation(implementation)
                        .build(&rig.vs, lr)
                        .unwrap(),
                ),
            };
            let mut optimizer = reading(&rig, inner);
            let gradients = rig.gradients(1);
            for step in 1..=12 {
                let report = optimizer.backward_step(&rig.loss(&gradients)).unwrap();
                for (index, component) in COMPONENTS.iter().enumerate() {
                    let gradient = flat(&gradients, component);
                    // Adam moves every weight by lr, whatever the decay; a buffer is a geometric sum.
                    let adams: f64 = gradient.iter().map(|g| g.abs()).sum();
                    let left = momentum.powi(step - 1);
                    let sgds = product(&gradient, &gradient) * (1.0 - left) / (1.0 - momentum);
                    match (step, value(&report, index, Statistic::Progress)) {
                        (1, found) => assert_eq!(found, None),
                        (_, found) => assert_near(
                            found,
                            lr * if adam { adams } else { sgds },
                            &format!("{implementation:?}, Adam {adam}, component {index}, step {step}"),
                        ),
                    }
                }
            }
        }
    }
}

/// Independent numbers from -0.5 to 0.5 (SplitMix64).
fn noise(seed: u64, shape: &[i64]) -> Tensor {
    let number = |index: i64| {
        let mixed = (seed << 32).wrapping_add(index.cast_unsigned()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    Tensor::from_slice(&(0..shape.iter().product()).map(number).collect::<Vec<f32>>()).view(shape)
}

/// Against the direction after the gradient, noise would be multiplied by itself.
#[test]
fn noise_alone_has_no_progress_and_a_signal_has() {
    let mean = |signal: f64| {
        let rig = Rig::new();
        let mut optimizer = reading(&rig, AdamConfig::adamw().build(&rig.vs, LR).unwrap());
        let samples: Vec<f64> = (1..=400)
            .filter_map(|step| {
                let mut gradients = rig.gradients(step);
                for (name, gradient) in &mut gradients {
                    let size = gradient.size();
                    let noise = noise(step * 1000 + name.len() as u64, &size);
                    *gradient = noise + numbers(&format!("signal {name}"), &size) * signal;
                }
                let report = optimizer.backward_step(&rig.loss(&gradients)).unwrap();
                value(&report, 0, Statistic::Progress)
            })
            .collect();
        let n = samples.len() as f64;
        let mean = samples.iter().sum::<f64>() / n;
        let variance = samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (mean, (variance / n).sqrt())
    };
    let (noise, error) = mean(0.0);
    assert!(noise.abs() < 3.0 * error, "{noise} ± {error}");
    let (signal, error) = mean(0.3);
    assert!(signal > 5.0 * error, "{signal} ± {error}");
}

fn a_clip_changes_the_update_and_not_the_progress<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    type Step<O> = fn(&mut FreezingOptimizer<O>, &Tensor) -> grades::tracker::StepReport;
    let steps: [Step<O>; 6] = [
        |optimizer, loss| optimizer.backward_step(loss).unwrap(),
        |optimizer, loss| optimizer.backward_step_clip(loss, 1e-3).unwrap(),
        |optimizer, loss| optimizer.backward_step_clip_norm(loss, 1e-3).unwrap(),
        |optimizer, loss| {
            optimizer.zero_grad().unwrap();
            loss.backward();
            optimizer.clip_grad_norm(1e-2).unwrap();
            optimizer.clip_grad_norm(1e-3).unwrap();
            optimizer.step().unwrap()
        },
        |optimizer, loss| {
            optimizer.zero_grad().unwrap();
            loss.backward();
            optimizer.clip_grad_norm(1e-2).unwrap();
            optimizer.clip_grad_value(1e-4).unwrap();
            optimizer.clip_grad_value(1e-5).unwrap();
            optimizer.step().unwrap()
        },
        |optimizer, loss| {
            optimizer.zero_grad().unwrap();
            loss.backward();
            optimizer.clip_grad_value(1e-2).unwrap();
            optimizer.clip_grad_norm(1e-3).unwrap();
            optimizer.step().unwrap()
        },
    ];
    for check_every in [1, 2] {
        let mut plain: Option<[f64; 2]> = None;
        for (way, step) in steps.into_iter().enumerate() {
            let rig = Rig::new();
            let config = Rig::config(Ordered::reading([Statistic::Progress])).with_check_every(check_every);
            let mut optimizer = rig.wrap(make(&rig.vs), &config);
            // The decay of the first update would differ: it goes through the same direction, but the clip does not scale it.
            optimizer.backward_step(&rig.loss(&rig.gradients(1))).unwrap();
            let report = step(&mut optimizer, &rig.loss(&rig.gradients(2)));
            let found = [0, 1].map(|index| value(&report, index, Statistic::Progress).unwrap());
            let plain = plain.get_or_insert(found);
            for (found, plain) in found.iter().zip(plain) {
                assert_number_within(*found, *plain, STATISTIC_OF_STEPS, format!("way {way}"));
            }
            let unchecked = step(&mut optimizer, &rig.loss(&rig.gradients(3)));
            assert_eq!(value(&unchecked, 0, Statistic::Progress).is_some(), check_every == 1);
        }
    }
}

#[test]
fn a_frozen_component_has_no_progress_and_a_thawed_one_starts_anew() {
    let rig = Rig::new();
    let policy = Ordered::reading([Statistic::Progress]).freezing("single", 3).thawing("single", 5);
    let mut optimizer = rig.wrap(
        AdamConfig::adamw().implementation(Implementation::Fused).build(&rig.vs, LR).unwrap(),
        &Rig::config(policy),
    );
    let found: Vec<bool> = (1..=8)
        .map(|step| {
            let report = optimizer.backward_step(&rig.loss(&rig.gradients(step))).unwrap();
            value(&report, 0, Statistic::Progress).is_some()
        })
        .collect();
    // Frozen after step 3, trained again from step 6 on.
    assert_eq!(found, [false, true, true, false, false, false, true, true]);
}
