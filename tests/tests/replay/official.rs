//! The tracker under the preset `official`, fed with what the Python package measured.

use grades::FreezingConfig;
use grades::component::{ComponentConfig, ComponentMap, ParameterInfo};
use grades::policy::Measure;
use grades::statistic::{ComponentSample, GradientSnapshot, Statistic};
use grades::tracker::{FreezeEvent, FreezeTracker};

use crate::recorded::{Matrix, Run};
use grades_tests::tolerance::{STATISTIC, assert_number_within};
use tch::Kind;

/// A tracker of the matrices of a run, configured as the package was, but for the grace period.
fn tracker(run: &Run, grace: f64) -> FreezeTracker {
    let Run { tau, interval, max_frozen_ratio, .. } = run;
    let document = format!(
        "[freezing]\npreset = \"official\"\ngrace = {grace:?}\ncheck_every = {interval}\n\
         stop_at = {max_frozen_ratio:?}\npolicy = {{ tau = {tau:?} }}\ncomponents = {{ layout = \"llama\" }}"
    );
    let config = FreezingConfig::from_toml(&document).unwrap();
    // What is no matrix of a block is tracked by neither.
    let others = [("model.embed_tokens.weight", 64), ("model.norm.weight", 32), ("lm_head.weight", 64)];
    let others = others.map(|(name, rows)| ParameterInfo::new(name, [rows, 32]));
    let matrices = run.matrices.iter();
    let parameters: Vec<_> =
        matrices.map(|matrix| ParameterInfo::new(&matrix.name, matrix.shape.clone())).chain(others).collect();
    let map = ComponentMap::new(&parameters, config.components()).unwrap();
    assert_eq!(map.components().len(), 14);
    FreezeTracker::new(map, &config, run.steps).unwrap()
}

/// One check with the change of each matrix, `None` where there is none.
fn check(
    tracker: &mut FreezeTracker,
    step: u64,
    run: &Run,
    change: impl Fn(&Matrix) -> Option<f64>,
) -> Vec<FreezeEvent> {
    assert!(tracker.is_due(step), "step {step}");
    let samples = tracker.components().iter().map(|component| {
        let matrix =
            run.matrices.iter().find(|matrix| matrix.name == format!("{}.weight", component.name)).unwrap();
        Some(ComponentSample::new(component.elements).with(Statistic::WeightDeltaL1, change(matrix)?))
    });
    let snapshot = GradientSnapshot::new(step, samples.collect());
    let found = tracker.check(&snapshot);
    assert!(found.non_finite.is_empty());
    found.events
}

/// The step after which each matrix froze, by name.
fn freezes(run: &Run, tracker: &FreezeTracker) -> Vec<(String, Option<u64>)> {
    let mut found: Vec<_> = tracker
        .components()
        .iter()
        .enumerate()
        .map(|(index, component)| (format!("{}.weight", component.name), tracker.frozen_at(index)))
        .collect();
    found.sort();
    assert_eq!(found.len(), run.matrices.len());
    found
}

/// Feeds all that the package measured, its 0 of the first check included; the tracker and the step at which it was
/// to stop.
fn replay(run: &Run, grace: f64) -> (FreezeTracker, Option<u64>) {
    let mut tracker = tracker(run, grace);
    let mut stop = None;
    for (place, &step) in run.checks.iter().enumerate() {
        for event in check(&mut tracker, step, run, |matrix| matrix.measured.get(place).copied()) {
            assert_eq!((&*event.policy, event.threshold), ("fixed-threshold", run.tau));
            assert_eq!(event.statistic, Measure::Statistic(Statistic::WeightDeltaL1));
        }
        if tracker.should_stop() {
            stop.get_or_insert(step);
        }
    }
    (tracker, stop)
}

#[test]
fn what_the_package_measured_is_the_change_of_the_weights_but_for_its_first_comparison() {
    for name in ["bare", "progressive", "boundary", "half", "no-grace", "long-interval"] {
        let run = Run::named(name);
        assert_eq!(run.checks[0], run.interval, "{name}");
        for matrix in &run.matrices {
            assert_eq!(matrix.measured[0], 0.0, "{name}: {}", matrix.name);
            assert!(matrix.truth[0] > 0.0, "{name}: {}", matrix.name);
            for (measured, truth) in matrix.measured.iter().zip(&matrix.truth).skip(1) {
                assert_number_within(
                    *measured,
                    *truth,
                    STATISTIC.tolerance(Kind::Float),
                    format!("{name}: {}", matrix.name),
                );
            }
        }
    }
}

#[test]
fn what_the_package_froze_did_not_move_any_more() {
    for name in ["progressive", "boundary", "half"] {
        let run = Run::named(name);
        for matrix in &run.matrices {
            for (step, truth) in run.checks.iter().zip(&matrix.truth) {
                let frozen = matrix.frozen_at.is_some_and(|at| *step > at);
                assert_eq!(*truth == 0.0, frozen, "{name}: {} at step {step}", matrix.name);
            }
        }
    }
}

#[test]
fn the_same_matrices_freeze_at_the_same_steps_and_the_run_ends_at_the_same_step() {
    let run = Run::named("progressive");
    let (tracker, stop) = replay(&run, run.alpha);
    assert_eq!(freezes(&run, &tracker), run.freezes());
    assert_eq!(stop, Some(run.stopped_at));
    // Progressive it is.
    let mut steps: Vec<_> = run.matrices.iter().map(|matrix| matrix.frozen_at.unwrap()).collect();
    steps.sort_unstable();
    steps.dedup();
    assert_eq!(steps, [20, 28, 32, 40, 44, 48]);
}

#[test]
fn a_grace_period_one_step_shorter_includes_the_step_that_the_package_counts_in() {
    for name in ["boundary", "half"] {
        let run = Run::named(name);
        let last = (run.alpha * run.steps as f64).floor();
        assert_eq!(last, 18.0);
        let early = run.matrices.iter().filter(|matrix| matrix.frozen_at == Some(18));
        assert_eq!(early.count(), 4, "{name}");
        let (tracker, stop) = replay(&run, (last - 1.0) / run.steps as f64);
        assert_eq!(freezes(&run, &tracker), run.freezes(), "{name}");
        assert_eq!(stop, Some(run.stopped_at), "{name}");
    }
}

#[test]
fn with_the_same_alpha_nothing_freezes_at_the_last_step_of_the_grace_period() {
    let (run, bare) = (Run::named("boundary"), Run::named("bare"));
    let mut tracker = tracker(&run, run.alpha);
    // As nothing freezes before, this is what was measured up to step 19.
    for (place, step) in (1..=18).enumerate() {
        assert_eq!(check(&mut tracker, step, &bare, |matrix| Some(matrix.measured[place])), []);
    }
    let mut frozen: Vec<_> = check(&mut tracker, 19, &bare, |matrix| Some(matrix.measured[18]))
        .into_iter()
        .map(|event| format!("{}.weight", event.component))
        .collect();
    frozen.sort();
    let at_18 = run.matrices.iter().filter(|matrix| matrix.frozen_at == Some(18));
    assert_eq!(frozen, at_18.map(|matrix| matrix.name.clone()).collect::<Vec<_>>());
}

/// The package is wrong here: its first comparison has nothing to compare with and gives 0, which is below any tau.
#[test]
fn without_a_grace_period_the_package_freezes_all_at_its_first_check_and_ours_nothing() {
    let (run, bare) = (Run::named("no-grace"), Run::named("bare"));
    assert_eq!((run.alpha, run.stopped_at), (0.0, 1));
    for matrix in &run.matrices {
        assert_eq!(matrix.frozen_at, Some(1), "{}", matrix.name);
        assert!(matrix.truth[0] > 2.0 * run.tau, "{}: it moved by {}", matrix.name, matrix.truth[0]);
    }

    let (mut tracker, stop) = replay(&run, run.alpha);
    assert_eq!((tracker.frozen(), stop), (0, None));
    // The run would have gone on, and the first to freeze are the first whose change is below tau in truth.
    for (place, step) in run_on(&bare) {
        let events = check(&mut tracker, step, &bare, |matrix| Some(matrix.measured[place]));
        let below = bare.matrices.iter().filter(|matrix| matrix.truth[place] < run.tau).count();
        assert_eq!(events.len(), below, "step {step}");
        if below > 0 {
            assert_eq!(step, 4);
            return;
        }
    }
    panic!("nothing froze");
}

/// The checks of a run after its first.
fn run_on(run: &Run) -> impl Iterator<Item = (usize, u64)> + '_ {
    run.checks.iter().copied().enumerate().skip(1)
}

/// The package is wrong here in the same way: the check at which it first compares may come after the grace period.
#[test]
fn with_an_interval_longer_than_the_grace_period_the_package_freezes_all_and_ours_nothing() {
    let run = Run::named("long-interval");
    assert_eq!((run.checks.as_slice(), run.stopped_at), ([10].as_slice(), 10));
    for matrix in &run.matrices {
        assert_eq!(matrix.frozen_at, Some(10), "{}", matrix.name);
        assert!(matrix.truth[0] > 2.0 * run.tau, "{}: it moved by {}", matrix.name, matrix.truth[0]);
    }
    let (tracker, stop) = replay(&run, run.alpha);
    assert!(tracker.grace_steps() < 10);
    assert_eq!((tracker.frozen(), stop), (0, None));
}

#[test]
fn a_check_without_a_comparison_freezes_nothing() {
    // What `FreezingOptimizer` gives at its first check: a sample of the gradient, and no change yet.
    let run = Run::named("no-grace");
    let mut tracker = tracker(&run, 0.0);
    for step in 1..=2 {
        let samples = run.matrices.iter().map(|_| Some(ComponentSample::from_sums(4, 0.0, 0.0)));
        assert_eq!(tracker.check(&GradientSnapshot::new(step, samples.collect())).events, []);
    }
}

#[test]
fn the_names_are_found_without_being_told_the_layout() {
    let run = Run::named("bare");
    let parameters: Vec<_> =
        run.matrices.iter().map(|matrix| ParameterInfo::new(&matrix.name, matrix.shape.clone())).collect();
    let map = ComponentMap::new(&parameters, &ComponentConfig::default()).unwrap();
    assert_eq!((map.layout(), map.components().len()), ("llama", 14));
}
