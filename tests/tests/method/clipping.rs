//! Clipping and the signal fraction: the moments take in clipped gradients, so what they are compared with is clipped.

use grades::FreezingOptimizer;
use grades::optim::{AdamConfig, InnerOptimizer};
use grades::statistic::Statistic;
use grades::tracker::StepReport;
use grades_tests::tolerance::{SIGNAL_FRACTION, assert_number_within};
use tch::nn::VarStore;

use crate::statistics::{signal_fraction, weights};
use crate::support::{COMPONENTS, Gradients, Ordered, Rig, assert_near, doubles, flat, value};

for_every_own_optimizer! {
    a_constant_gradient_is_all_signal_however_it_is_clipped;
}

fn a_constant_gradient_is_all_signal_however_it_is_clipped<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    // The same clip at every step: far below the norm, by value, and both.
    type Clip<O> = fn(&mut FreezingOptimizer<O>);
    let clips: [Clip<O>; 4] = [
        |optimizer| assert!(optimizer.clip_grad_norm(1e-3).unwrap() > 1.0),
        |optimizer| optimizer.clip_grad_value(0.01).unwrap(),
        |optimizer| {
            optimizer.clip_grad_norm(1e-2).unwrap();
            optimizer.clip_grad_value(1e-3).unwrap();
        },
        |optimizer| {
            optimizer.clip_grad_value(0.1).unwrap();
            optimizer.clip_grad_norm(1e-3).unwrap();
            optimizer.clip_grad_norm(1e-4).unwrap();
        },
    ];
    for (way, clip) in clips.into_iter().enumerate() {
        let rig = Rig::new();
        let mut optimizer =
            rig.wrap(make(&rig.vs), &Rig::config(Ordered::reading([Statistic::SignalFraction])));
        // The optimizers decay; through the gradient that would be noise and signal of its own.
        optimizer.set_weight_decay(0.0).unwrap();
        for step in 1..=15 {
            let report = clipped_step(&rig, &mut optimizer, &rig.gradients(1), clip);
            for index in 0..2 {
                match value(&report, index, Statistic::SignalFraction) {
                    None => assert_eq!(step, 1),
                    Some(s) => {
                        assert_number_within(
                            s,
                            1.0,
                            SIGNAL_FRACTION,
                            format!("way {way}, step {step}, component {index}"),
                        );
                    }
                }
            }
        }
    }
}

fn clipped_step<O: InnerOptimizer>(
    rig: &Rig,
    optimizer: &mut FreezingOptimizer<O>,
    gradients: &Gradients,
    clip: impl FnOnce(&mut FreezingOptimizer<O>),
) -> StepReport {
    optimizer.zero_grad().unwrap();
    rig.loss(gradients).backward();
    clip(optimizer);
    optimizer.step().unwrap()
}

/// The effect of clips, computed in f64 from the formulas.
struct ByHand(Vec<(&'static str, Vec<f64>)>);

impl ByHand {
    fn of(gradients: &Gradients) -> Self {
        Self(gradients.iter().map(|(name, gradient)| (*name, doubles(gradient))).collect())
    }

    fn norm(&mut self, max: f64) {
        let squares: f64 = self.0.iter().flat_map(|(_, gradient)| gradient).map(|g| g * g).sum();
        let factor = (max / (squares.sqrt() + 1e-6)).min(1.0);
        self.0.iter_mut().flat_map(|(_, gradient)| gradient).for_each(|g| *g *= factor);
    }

    fn value(&mut self, max: f64) {
        self.0.iter_mut().flat_map(|(_, gradient)| gradient).for_each(|g| *g = g.clamp(-max, max));
    }

    fn component(&self, component: &[&str]) -> Vec<f64> {
        let of = |name: &&str| self.0.iter().find(|(known, _)| known == name).unwrap().1.clone();
        component.iter().flat_map(of).collect()
    }
}

#[test]
fn clips_that_differ_from_step_to_step_are_followed() {
    follow_clips(AdamConfig::adamw(), 0.0);
}

#[test]
fn clips_are_followed_with_decay_through_the_gradient_too() {
    follow_clips(AdamConfig::adam().wd(0.3), 0.3);
}

fn follow_clips(optimizer: AdamConfig, decay: f64) {
    let rig = Rig::new();
    let config =
        Rig::config(Ordered::reading([Statistic::SignalFraction, Statistic::GradL1])).with_check_every(3);
    let mut optimizer = rig.wrap(optimizer.build(&rig.vs, 1e-2).unwrap(), &config);
    let mut seen = COMPONENTS.map(|_| Vec::new());
    for step in 1..=18 {
        let gradients = rig.gradients(step);
        let mut by_hand = ByHand::of(&gradients);
        let max = 0.1 * (1 + step % 4) as f64;
        let decayed = COMPONENTS.map(|component| rig.values(component));
        let report = clipped_step(&rig, &mut optimizer, &gradients, |optimizer| {
            if step % 5 == 1 || step % 5 == 3 {
                by_hand.norm(max);
                optimizer.clip_grad_norm(max).unwrap();
            }
            if step % 5 >= 2 {
                by_hand.value(max / 5.0);
                optimizer.clip_grad_value(max / 5.0).unwrap();
            }
            if step % 5 == 4 {
                by_hand.norm(max / 2.0);
                optimizer.clip_grad_norm(max / 2.0).unwrap();
            }
        });
        for (index, component) in COMPONENTS.iter().enumerate() {
            let clipped = by_hand.component(component).into_iter().zip(&decayed[index]);
            seen[index].push(clipped.map(|(g, w)| g + decay * w).collect::<Vec<f64>>());
            if step % 3 != 0 {
                continue;
            }
            let expected = signal_fraction(&seen[index], &weights(seen[index].len(), 0.9, 0.1, 0.1));
            let what = format!("component {index}, step {step}");
            assert_near(value(&report, index, Statistic::SignalFraction), expected, &what);
            // What is told of the gradient itself is from before all clips.
            let l1: f64 = flat(&gradients, component).iter().map(|g| g.abs()).sum();
            assert_near(value(&report, index, Statistic::GradL1), l1, &what);
        }
    }
}

#[test]
fn the_update_that_is_measured_is_that_of_the_clipped_gradient() {
    // Under Adam a constant gradient gives a mean update of 1, whatever its size.
    let rig = Rig::new();
    let mut optimizer = rig.wrap(
        AdamConfig::adamw().eps(0.0).build(&rig.vs, 1e-2).unwrap(),
        &Rig::config(Ordered::reading([Statistic::UpdateMeanAbs])),
    );
    for _ in 0..5 {
        let report = clipped_step(&rig, &mut optimizer, &rig.gradients(1), |optimizer| {
            optimizer.clip_grad_norm(1e-3).unwrap();
        });
        assert_near(value(&report, 0, Statistic::UpdateMeanAbs), 1.0, "the mean update");
    }
}

#[test]
fn a_clip_whose_step_never_came_is_not_followed() {
    let rig = Rig::new();
    let mut optimizer = rig.wrap(
        AdamConfig::adamw().build(&rig.vs, 1e-2).unwrap(),
        &Rig::config(Ordered::reading([Statistic::SignalFraction])),
    );
    for step in 1..=6 {
        // A batch that the caller drops.
        optimizer.zero_grad().unwrap();
        rig.loss(&rig.gradients(100 + step)).backward();
        optimizer.clip_grad_norm(1e-3).unwrap();
        let report = clipped_step(&rig, &mut optimizer, &rig.gradients(1), |_| {});
        if step > 1 {
            assert_near(value(&report, 0, Statistic::SignalFraction), 1.0, "a constant gradient");
        }
    }
}

#[test]
fn the_change_of_a_gradient_is_not_taken_from_a_batch_that_was_dropped() {
    let rig = Rig::new();
    let mut optimizer = rig.wrap(
        AdamConfig::adamw().build(&rig.vs, 1e-2).unwrap(),
        &Rig::config(Ordered::reading([Statistic::GradDeltaL1])),
    );
    optimizer.backward_step(&rig.loss(&rig.gradients(1))).unwrap();
    rig.loss(&rig.gradients(50)).backward();
    optimizer.clip_grad_norm(1e-3).unwrap();
    let report = optimizer.backward_step(&rig.loss(&rig.gradients(7))).unwrap();
    assert_eq!(
        value(&report, 0, Statistic::GradDeltaL1),
        None,
        "the gradient of step 1 is not known any more"
    );
    let report = optimizer.backward_step(&rig.loss(&rig.gradients(2))).unwrap();
    let (now, before) = (flat(&rig.gradients(2), COMPONENTS[0]), flat(&rig.gradients(7), COMPONENTS[0]));
    let expected = now.iter().zip(&before).map(|(now, before)| (now - before).abs()).sum();
    assert_near(value(&report, 0, Statistic::GradDeltaL1), expected, "from step 2 to step 3");
}
