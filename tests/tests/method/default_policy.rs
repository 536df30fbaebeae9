//! A configuration that says nothing: components of a model that has learnt freeze one after the other.

use std::collections::BTreeSet;

use grades::optim::{AdamConfig, SgdConfig};
use grades::statistic::Statistic;
use grades::tracker::{FreezeEvent, Transition};
use grades::{FreezingConfig, FreezingOptimizer};
use grades_policies as _;
use grades_tests::{Snapshot, Spec, TinyBert, snapshot};

const STEPS: u64 = 240;

fn run(momentum: Option<f64>, salt: u64) -> (Vec<FreezeEvent>, Snapshot, u64) {
    // Threads of several tests would wait for each other longer than these small matrices take.
    tch::set_num_threads(1);
    let model = TinyBert::new(Spec::default());
    let config = FreezingConfig::from_toml("[freezing]").unwrap();
    let inner: Box<dyn grades::optim::InnerOptimizer> = match momentum {
        None => Box::new(AdamConfig::adamw().build(&model.vs, 3e-3).unwrap()),
        Some(momentum) => Box::new(SgdConfig::new().momentum(momentum).build(&model.vs, 3e-2).unwrap()),
    };
    let mut optimizer = FreezingOptimizer::new(inner, &model.vs, &config, STEPS).unwrap();
    let mut events = Vec::new();
    while !optimizer.should_stop() {
        // Labels at random: after the first steps a batch says nothing about the next.
        let batch = salt * 100_000 + optimizer.steps();
        let report = optimizer.backward_step_clip_norm(&model.loss(batch), 1.0).unwrap();
        events.extend(report.events);
        assert!(optimizer.steps() <= STEPS, "it does not end");
    }
    (events, snapshot(&model.vs), optimizer.steps())
}

#[test]
fn a_model_that_learns_from_noise_ends_frozen_one_component_after_the_other() {
    for momentum in [None, Some(0.9)] {
        let (events, ..) = run(momentum, 1);
        let steps = |kind| -> BTreeSet<u64> {
            events.iter().filter(|event| event.event == kind).map(|event| event.step).collect()
        };
        let (cool, freeze) = (steps(Transition::Cool), steps(Transition::Freeze));
        assert_eq!(events.len(), 24, "each of 12 cools and then freezes");
        assert!(cool.len() >= 3 && freeze.len() >= 3, "{momentum:?}: {cool:?}, {freeze:?}");
        // The average's window and the patience.
        assert!(cool.first() >= Some(&25), "{cool:?}");
        let own = events.iter().filter(|event| event.policy == "signal-fraction").count();
        assert!(own >= 8, "{momentum:?}: most are left to the deadline, {own}");
        for event in events.iter().filter(|event| event.policy == "signal-fraction") {
            assert_eq!(event.statistic, Statistic::SignalFraction.into());
            assert!(event.value <= event.threshold && event.threshold == 0.005);
        }
        for freeze in events.iter().filter(|event| event.is_freeze()) {
            let cool = events.iter().find(|event| event.index == freeze.index).unwrap();
            assert_eq!(freeze.step, 2 * cool.step, "the cooldown is as long as the way there");
        }
    }
}

#[test]
fn the_same_run_is_the_same_to_the_bit_and_another_one_is_not() {
    let first = run(None, 1);
    assert_eq!(run(None, 1), first);
    assert_ne!(run(None, 2).0, first.0);
}
