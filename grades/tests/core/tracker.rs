//! When components freeze: grace, check interval, first samples, what is skipped, the end.

use grades::FreezingConfig;
use grades::component::{ComponentConfig, ComponentKind, ComponentMap, ParameterInfo};
use grades::statistic::{ComponentSample, GradientSnapshot, Statistic};
use grades::tracker::{Check, FreezeEvent, FreezeTracker, Transition};

use crate::policies::{Below, Recorder};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

/// The query projections of so many layers.
pub(crate) fn map(layers: usize) -> ComponentMap {
    let parameters: Vec<_> = (0..layers)
        .map(|layer| ParameterInfo::new(format!("model.layers.{layer}.self_attn.q_proj.weight"), [3, 2]))
        .collect();
    ComponentMap::new(&parameters, &ComponentConfig::default()).unwrap()
}

pub(crate) fn tracker(layers: usize, config: &FreezingConfig, total_steps: u64) -> FreezeTracker {
    FreezeTracker::new(map(layers), config, total_steps).unwrap()
}

/// A sample whose L1 norm is `value`.
pub(crate) fn sample(value: f64) -> Option<ComponentSample> {
    Some(ComponentSample::from_gradient(&[value]))
}

pub(crate) fn snapshot(step: u64, values: &[f64]) -> GradientSnapshot {
    GradientSnapshot::new(step, values.iter().map(|value| sample(*value)).collect())
}

/// Drives a run the way the optimizer does: a check at each step that is due, values repeated to the end.
pub(crate) fn freeze_steps(tracker: &mut FreezeTracker, values: &[f64]) -> Vec<Option<u64>> {
    for step in 1..=tracker.total_steps() {
        if tracker.is_due(step) {
            tracker.check(&snapshot(step, values));
        }
    }
    (0..tracker.total()).map(|component| tracker.frozen_at(component)).collect()
}

#[test]
fn the_grace_period_is_the_share_of_the_steps_rounded_up() {
    struct Case {
        share: f64,
        total_steps: u64,
        grace: u64,
    }
    let cases = [
        Case { share: 0.55, total_steps: 100, grace: 55 }, // 55.000000000000007 in binary
        Case { share: 0.07, total_steps: 100, grace: 7 },
        Case { share: 0.29, total_steps: 100, grace: 29 },
        Case { share: 0.55, total_steps: 7, grace: 4 },
        Case { share: 0.3, total_steps: 10, grace: 3 },
        Case { share: 0.1, total_steps: 3, grace: 1 },
        Case { share: 0.001, total_steps: 100, grace: 1 },
        Case { share: 0.999, total_steps: 10, grace: 10 },
        Case { share: 0.5, total_steps: 1, grace: 1 },
        Case { share: 0.0, total_steps: 100, grace: 0 },
        Case { share: 1.0, total_steps: 100, grace: 100 },
        Case { share: 1.0, total_steps: 1, grace: 1 },
    ];
    for Case { share, total_steps, grace } in cases {
        let config = FreezingConfig::new(Below::new(1.0)).with_grace(share);
        let mut tracker = tracker(1, &config, total_steps);
        assert_eq!(tracker.grace_steps(), grace, "{share} of {total_steps}");
        // A component that is quiet throughout freezes at the first step after it, but not at its first sample.
        let first = (grace + 1).max(2);
        let expected = (first <= total_steps).then_some(first);
        assert_eq!(freeze_steps(&mut tracker, &[0.5]), [expected], "{share} of {total_steps}");
    }
}

/// The L1 norms at steps 1, 2, … of 10, when checks happen, and the step of the freeze.
struct Case {
    name: &'static str,
    values: &'static [f64],
    grace: f64,
    check_every: u64,
    frozen_at: Option<u64>,
}

#[test]
fn a_component_freezes_at_the_first_quiet_check_that_counts() {
    const EVERY_STEP: Case = Case { name: "", values: &[], grace: 0.0, check_every: 1, frozen_at: None };
    let cases = [
        Case {
            name: "below the threshold at step 3",
            values: &[5.0, 5.0, 0.5],
            frozen_at: Some(3),
            ..EVERY_STEP
        },
        Case {
            name: "equal to the threshold is not below",
            values: &[5.0, 1.0, 0.5],
            frozen_at: Some(3),
            ..EVERY_STEP
        },
        Case {
            name: "the first sample does not count",
            values: &[0.5, 0.5],
            frozen_at: Some(2),
            ..EVERY_STEP
        },
        Case {
            name: "the first sample does not count, the second is large",
            values: &[0.5, 5.0, 0.5],
            frozen_at: Some(3),
            ..EVERY_STEP
        },
        Case { name: "a gradient of zeros is quiet", values: &[0.0, 0.0], frozen_at: Some(2), ..EVERY_STEP },
        Case {
            name: "what is quiet during the grace period does not freeze",
            values: &[0.5, 0.5, 0.5, 5.0, 0.5],
            grace: 0.3,
            frozen_at: Some(5),
            ..EVERY_STEP
        },
        Case {
            name: "the first step after the grace period counts",
            values: &[0.5, 0.5, 0.5, 0.5],
            grace: 0.3,
            frozen_at: Some(4),
            ..EVERY_STEP
        },
        Case {
            name: "step 2 is the first sample, step 3 is not checked",
            values: &[5.0, 0.5, 0.5, 0.5, 5.0, 0.5],
            check_every: 2,
            frozen_at: Some(4),
            ..EVERY_STEP
        },
        Case {
            name: "the interval is longer than the grace period: the first check is no freeze",
            values: &[0.5; 10],
            grace: 0.3,
            check_every: 4,
            frozen_at: Some(8),
        },
        Case {
            name: "one check in all, and it is the first",
            values: &[0.5; 10],
            check_every: 10,
            ..EVERY_STEP
        },
        Case { name: "no check at all", values: &[0.5; 10], check_every: 11, ..EVERY_STEP },
        Case {
            name: "a sample that is not finite is not the first",
            values: &[NAN, 0.5, 0.5],
            frozen_at: Some(3),
            ..EVERY_STEP
        },
    ];
    for Case { name, values, grace, check_every, frozen_at } in cases {
        let config = FreezingConfig::new(Below::new(1.0)).with_grace(grace).with_check_every(check_every);
        let mut tracker = tracker(1, &config, 10);
        for (index, value) in values.iter().enumerate() {
            let step = index as u64 + 1;
            if tracker.is_due(step) {
                let check = tracker.check(&snapshot(step, &[*value]));
                assert_eq!(check.events.len(), usize::from(frozen_at == Some(step)), "{name}");
            }
        }
        assert_eq!(tracker.frozen_at(0), frozen_at, "{name}");
        assert_eq!(tracker.is_frozen(0), frozen_at.is_some(), "{name}");
    }
}

#[test]
fn checks_are_due_at_multiples_of_the_interval() {
    for (check_every, expected) in
        [(1, vec![1, 2, 3, 4, 5, 6]), (2, vec![2, 4, 6]), (4, vec![4]), (7, vec![])]
    {
        let tracker = tracker(1, &FreezingConfig::new(Below::new(1.0)).with_check_every(check_every), 6);
        let due: Vec<u64> = (1..=6).filter(|step| tracker.is_due(*step)).collect();
        assert_eq!(due, expected);
    }
}

#[test]
fn training_should_stop_once_the_share_is_frozen() {
    struct Case {
        components: usize,
        stop_at: f64,
        /// The components that must be frozen.
        needed: usize,
    }
    let cases = [
        Case { components: 1, stop_at: 1.0, needed: 1 },
        Case { components: 4, stop_at: 1.0, needed: 4 },
        Case { components: 4, stop_at: 0.5, needed: 2 },
        Case { components: 3, stop_at: 0.5, needed: 2 },
        Case { components: 3, stop_at: 0.34, needed: 2 },
        Case { components: 3, stop_at: 1e-12, needed: 1 },
        Case { components: 10, stop_at: 0.3, needed: 3 },
        Case { components: 10, stop_at: 0.99, needed: 10 },
        Case { components: 100, stop_at: 0.55, needed: 55 }, // 55.000000000000007 in binary
        Case { components: 100, stop_at: 0.07, needed: 7 },
    ];
    for Case { components, stop_at, needed } in cases {
        let config = FreezingConfig::new(Below::new(1.0)).with_stop_at(stop_at);
        let mut tracker = tracker(components, &config, 1000);
        tracker.check(&snapshot(1, &vec![5.0; components]));
        for frozen in 0..components {
            let message = format!("{frozen} of {components} at {stop_at}");
            assert_eq!(tracker.frozen(), frozen);
            assert_eq!(tracker.should_stop(), frozen >= needed, "{message}");
            let values: Vec<f64> =
                (0..components).map(|index| if index <= frozen { 0.5 } else { 5.0 }).collect();
            tracker.check(&snapshot(frozen as u64 + 2, &values));
        }
        assert!(tracker.should_stop() && tracker.all_frozen());
    }
}

#[test]
fn components_go_on_freezing_after_training_should_have_stopped() {
    let mut tracker = tracker(2, &FreezingConfig::new(Below::new(1.0)).with_stop_at(0.5), 10);
    tracker.check(&snapshot(1, &[5.0, 5.0]));
    tracker.check(&snapshot(2, &[0.5, 5.0]));
    assert!(tracker.should_stop() && !tracker.all_frozen() && tracker.is_due(3));
    assert_eq!(tracker.check(&snapshot(3, &[0.5, 0.5])).events.len(), 1);
}

#[test]
fn a_freeze_says_what_decided() {
    let mut tracker = tracker(2, &FreezingConfig::new(Below::new(1.0)), 10);
    tracker.check(&snapshot(1, &[0.25, 5.0]));
    let check = tracker.check(&snapshot(2, &[5.0, 0.25]));
    let expected = FreezeEvent {
        event: Transition::Freeze,
        step: 2,
        component: "model.layers.1.self_attn.q_proj".to_owned(),
        kind: ComponentKind::Query,
        layer: Some(1),
        statistic: Statistic::GradL1.into(),
        value: 0.25,
        threshold: 1.0,
        policy: "below".into(),
        parameters: 6,
        index: 1,
    };
    assert_eq!(check, Check { events: vec![expected], non_finite: vec![], ..Check::default() });
    assert_eq!((tracker.frozen(), tracker.frozen_at(0), tracker.frozen_at(1)), (1, None, Some(2)));
}

#[test]
fn components_that_freeze_together_are_reported_in_order() {
    let mut tracker = tracker(12, &FreezingConfig::new(Below::new(1.0)), 10);
    tracker.check(&snapshot(1, &[0.5; 12]));
    let events = tracker.check(&snapshot(2, &[0.5; 12])).events;
    assert_eq!(events.iter().map(|event| event.index).collect::<Vec<_>>(), (0..12).collect::<Vec<_>>());
    assert!(tracker.all_frozen());
}

#[test]
fn samples_that_are_not_finite_are_skipped_and_reported() {
    let recorder = Recorder::default();
    let mut tracker = tracker(4, &FreezingConfig::new(recorder.clone()), 20);
    for step in 1..=6 {
        let check = tracker.check(&snapshot(step, &[NAN, INF, -INF, 5.0]));
        assert_eq!(check, Check { events: vec![], non_finite: vec![0, 1, 2], ..Check::default() });
        assert_eq!(recorder.take().len(), 1, "only the finite one is asked about");
    }
    // Six of them were no first sample.
    assert_eq!(tracker.check(&snapshot(7, &[0.5, 0.5, 0.5, 5.0])), Check::default());
    let check = tracker.check(&snapshot(8, &[0.5, 0.5, NAN, 5.0]));
    assert_eq!(check.events.iter().map(|event| event.index).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(check.non_finite, [2]);
    let check = tracker.check(&snapshot(9, &[NAN, NAN, 0.5, NAN]));
    assert_eq!(check.events.iter().map(|event| event.index).collect::<Vec<_>>(), [2]);
    assert_eq!(check.non_finite, [3], "frozen ones are not reported");
}

#[test]
fn one_statistic_that_is_not_finite_is_enough_to_skip() {
    // The L1 norm is a number; the sum of squares overflows.
    let sample = ComponentSample::from_sums(6, 0.5, INF);
    let mut tracker = tracker(1, &FreezingConfig::new(Below::new(1.0)), 10);
    for step in 1..=3 {
        let check = tracker.check(&GradientSnapshot::new(step, vec![Some(sample)]));
        assert_eq!(check, Check { events: vec![], non_finite: vec![0], ..Check::default() });
    }
}

#[test]
fn components_without_a_gradient_are_skipped_and_not_reported() {
    let recorder = Recorder::default();
    let mut tracker = tracker(2, &FreezingConfig::new(recorder.clone()), 10);
    for step in 1..=4 {
        let check = tracker.check(&GradientSnapshot::new(step, vec![None, sample(5.0)]));
        assert_eq!(check, Check::default());
        assert!(recorder.take().iter().all(|asked| asked.component.contains("layers.1.")));
    }
    // The first gradient it ever had.
    assert_eq!(tracker.check(&snapshot(5, &[0.5, 5.0])), Check::default());
    assert_eq!(tracker.check(&snapshot(6, &[0.5, 5.0])).events.len(), 1);
}

#[test]
fn the_policy_of_a_frozen_component_is_not_asked_again() {
    let recorder = Recorder::default();
    let mut tracker = tracker(2, &FreezingConfig::new(recorder.clone()), 10);
    tracker.check(&snapshot(1, &[5.0, 5.0]));
    tracker.check(&snapshot(2, &[0.5, 5.0]));
    recorder.take();
    for step in 3..=5 {
        assert_eq!(tracker.check(&snapshot(step, &[9.0, 5.0])), Check::default());
        let asked = recorder.take();
        assert_eq!(asked.len(), 1);
        assert!(asked[0].component.contains("layers.1."));
        assert_eq!(tracker.frozen_at(0), Some(2), "freezing is for good");
    }
}

#[test]
fn once_all_are_frozen_a_check_does_nothing() {
    let recorder = Recorder::default();
    let mut tracker = tracker(2, &FreezingConfig::new(recorder.clone()), 10);
    tracker.check(&snapshot(1, &[0.5, 0.5]));
    tracker.check(&snapshot(2, &[0.5, 0.5]));
    assert!(tracker.should_stop() && tracker.all_frozen());
    recorder.take();
    for step in 3..=5 {
        assert!(!tracker.is_due(step));
        for values in [[0.5, 0.5], [NAN, 9.0]] {
            assert_eq!(tracker.check(&snapshot(step, &values)), Check::default());
        }
        assert_eq!(tracker.check(&GradientSnapshot::new(step, vec![None, None])), Check::default());
    }
    assert_eq!(recorder.take(), []);
    assert_eq!((tracker.frozen(), tracker.frozen_at(0)), (2, Some(2)));
}

#[test]
fn policies_are_asked_during_the_grace_period_but_not_obeyed() {
    let recorder = Recorder::default();
    let mut tracker = tracker(1, &FreezingConfig::new(recorder.clone()).with_grace(0.4), 10);
    assert_eq!(freeze_steps(&mut tracker, &[0.5]), [Some(5)]);
    let asked: Vec<_> = recorder.take().iter().map(|asked| (asked.step, asked.grace_over)).collect();
    assert_eq!(asked, [(1, false), (2, false), (3, false), (4, false), (5, true)]);
}

#[test]
fn each_component_has_a_clone_of_the_prototype() {
    let recorder = Recorder::default();
    let mut tracker = tracker(3, &FreezingConfig::new(recorder.clone()), 10);
    tracker.check(&GradientSnapshot::new(1, vec![sample(5.0), None, sample(6.0)]));
    tracker.check(&GradientSnapshot::new(2, vec![sample(7.0), sample(8.0), sample(NAN)]));
    tracker.check(&GradientSnapshot::new(3, vec![sample(5.0), sample(5.0), sample(5.0)]));
    let asked: Vec<_> = recorder
        .take()
        .iter()
        .map(|asked| (asked.step, asked.component.chars().nth(13), asked.before, asked.value))
        .collect();
    let expected = [
        (1, '0', 0, 5.0),
        (1, '2', 0, 6.0),
        (2, '0', 1, 7.0),
        (2, '1', 0, 8.0),
        (3, '0', 2, 5.0),
        (3, '1', 1, 5.0),
        (3, '2', 1, 5.0),
    ];
    assert_eq!(asked, expected.map(|(step, layer, before, value)| (step, Some(layer), before, value)));
}

#[test]
fn policies_see_the_population_as_it_was_before_the_check() {
    let recorder = Recorder::default();
    let mut tracker = tracker(3, &FreezingConfig::new(recorder.clone()), 10);
    tracker.check(&snapshot(1, &[5.0, 5.0, 5.0]));
    tracker.check(&snapshot(2, &[0.5, 0.5, 5.0]));
    assert!(recorder.take().iter().all(|asked| asked.population == (3, 0)));
    tracker.check(&GradientSnapshot::new(3, vec![None, None, sample(5.0)]));
    assert_eq!(recorder.take().iter().map(|asked| asked.population).collect::<Vec<_>>(), [(3, 2)]);
}

#[test]
fn a_clone_of_a_tracker_goes_its_own_way() {
    let mut one = tracker(1, &FreezingConfig::new(Below::new(1.0)), 10);
    one.check(&snapshot(1, &[5.0]));
    let mut other = one.clone();
    one.check(&snapshot(2, &[0.5]));
    assert!(one.all_frozen() && !other.all_frozen());
    assert_eq!(other.check(&snapshot(7, &[0.5])).events[0].step, 7);
}

#[test]
fn the_tracker_knows_its_components_and_its_run() {
    let mut tracker = tracker(2, &FreezingConfig::new(Below::new(1.0)).with_grace(0.5), 10);
    assert_eq!(
        (tracker.total(), tracker.frozen(), tracker.total_steps(), tracker.grace_steps()),
        (2, 0, 10, 5)
    );
    assert_eq!(tracker.map().layout(), "llama");
    assert_eq!(tracker.components().len(), 2);
    assert!(!tracker.is_frozen(0) && !tracker.is_frozen(99));
    assert_eq!(freeze_steps(&mut tracker, &[0.5, 5.0]), [Some(6), None]);
}

#[test]
fn samples_are_the_statistics_of_a_gradient() {
    let sample = ComponentSample::from_gradient(&[3.0, -4.0, 0.0, 0.0]);
    let expected = [
        (Statistic::GradL1, 7.0),
        (Statistic::GradMeanAbs, 1.75),
        (Statistic::GradL2, 5.0),
        (Statistic::GradRms, 2.5),
    ];
    for (statistic, value) in expected {
        assert_eq!(sample.get(statistic), Some(value), "{statistic}");
    }
    assert_eq!(sample.elements(), 4);
    assert_eq!(ComponentSample::new(4).get(Statistic::GradL1), None);
    for value in [NAN, INF, -INF] {
        assert!(!ComponentSample::from_gradient(&[0.0, value]).is_finite(), "{value}");
    }
    assert!(ComponentSample::from_gradient(&[]).is_finite());
}

#[test]
fn what_is_compared_is_told_to_those_who_ask() {
    let config = FreezingConfig::new(Below::new(1.0));
    let mut quiet = tracker(3, &config, 10);
    let mut told = quiet.clone();
    told.record_comparisons(true);
    let steps = [[2.0, 0.5, NAN], [2.0, 0.5, 3.0], [2.0, 0.5, 3.0]];
    let expected = [
        [Some(2.0), Some(0.5), None], // one that is not finite is not asked
        [Some(2.0), Some(0.5), Some(3.0)],
        [Some(2.0), None, Some(3.0)], // the second froze at step 2
    ];
    for (step, (values, expected)) in (1..).zip(steps.iter().zip(expected)) {
        let check = told.check(&snapshot(step, values));
        let compared: Vec<Option<f64>> =
            check.compared.iter().map(|cause| cause.as_ref().map(|cause| cause.value)).collect();
        assert_eq!(compared, expected, "step {step}");
        // A policy that does not say more is known by the first statistic that it reads, without a threshold, until it
        // decides to freeze.
        for (index, cause) in check.compared.iter().enumerate() {
            let Some(cause) = cause else { continue };
            assert_eq!((&*cause.policy, cause.measure), ("below", Statistic::GradL1.into()));
            let decides = index == 1;
            assert_eq!(cause.threshold.is_nan(), !decides, "step {step}, component {index}");
        }
        for event in &check.events {
            assert_eq!(
                check.compared[event.index].as_ref().map(|cause| cause.threshold),
                Some(event.threshold)
            );
        }
        let silent = quiet.check(&snapshot(step, values));
        assert_eq!(silent, Check { compared: Vec::new(), ..check }, "nothing else differs");
    }
}
