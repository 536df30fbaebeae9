//! Thawing: a component trains again, as if it were new.

use grades::FreezingConfig;
use grades::config::Cooling;
use grades::optim::InnerOptimizer;
use grades::policy::Cooldown;
use grades::statistic::Statistic;
use grades::tracker::Transition;
use grades_policies as _;
use tch::nn::VarStore;

use crate::optimizers;
use crate::support::{Ordered, PAIR, Rig, SINGLE, copy};
use grades_tests::ReportExt;

for_every_own_optimizer! {
    a_thawed_component_takes_the_first_step_of_a_new_optimizer;
    memory_comes_back_and_goes_with_every_freeze_and_thaw;
    a_thaw_ends_the_cooling_of_what_follows;
}

fn a_thawed_component_takes_the_first_step_of_a_new_optimizer<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let rig = Rig::new();
    let policy = Ordered::reading([Statistic::GradL1]).freezing("pair", 3).thawing("pair", 5);
    let mut optimizer = rig.wrap(make(&rig.vs), &Rig::config(policy));
    for step in 1..=5 {
        let before = rig.values(&PAIR);
        let report = optimizer.backward_step(&rig.loss(&rig.gradients(step))).unwrap();
        assert_eq!(rig.values(&PAIR) == before, step > 3, "step {step}");
        let events: Vec<_> = report
            .events
            .iter()
            .map(|event| (event.event, event.component.as_str(), &*event.policy))
            .collect();
        match step {
            3 => assert_eq!(events, [(Transition::Freeze, "block.1.pair", "ordered")]),
            5 => assert_eq!(events, [(Transition::Thaw, "block.1.pair", "ordered")]),
            _ => assert!(events.is_empty(), "step {step}: {events:?}"),
        }
        let frozen = (3..5).contains(&step);
        assert_eq!((report.frozen, optimizer.tracker().is_frozen(1)), (usize::from(frozen), frozen));
        assert_eq!(optimizer.trainable_variables().len(), if frozen { 2 } else { 4 });
        assert!(PAIR.iter().all(|name| rig.parameter(name).requires_grad() != frozen));
    }

    let twin = Rig::new();
    copy(&rig.vs, &twin.vs);
    let mut bare = make(&twin.vs);
    for step in 6..=8 {
        let report = optimizer.backward_step(&rig.loss(&rig.gradients(step))).unwrap();
        assert!(report.snapshot().unwrap().samples()[1].is_some(), "it is watched again");
        bare.zero_grad().unwrap();
        twin.loss(&twin.gradients(step)).backward();
        bare.step().unwrap();
        for name in PAIR {
            assert!(rig.parameter(name).equal(twin.parameter(name)), "{name} at step {step}");
        }
    }
    assert!(!rig.parameter(SINGLE).equal(twin.parameter(SINGLE)), "the other one has a past");
}

fn memory_comes_back_and_goes_with_every_freeze_and_thaw<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let rig = Rig::new();
    let policy = Ordered::reading([Statistic::GradL1, Statistic::WeightDeltaL1, Statistic::GradDeltaL1]);
    let policy = policy.freezing("pair", 2).thawing("pair", 3).freezing("pair", 6);
    let mut optimizer = rig.wrap(make(&rig.vs), &Rig::config(policy));
    let mut memory = Vec::new();
    for step in 1..=7 {
        optimizer.backward_step(&rig.loss(&rig.gradients(step))).unwrap();
        memory.push(optimizer.memory());
    }
    let [full, frozen, _, again, _, refrozen, later] = memory.try_into().unwrap();
    assert!(full.gradients > frozen.gradients && full.statistics > frozen.statistics);
    assert!(full.optimizer_state > frozen.optimizer_state);
    assert_eq!(again, full);
    assert_eq!(refrozen, frozen);
    assert_eq!(later, frozen);
}

fn a_thaw_ends_the_cooling_of_what_follows<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let rig = Rig::new();
    let policy = Ordered::reading([Statistic::GradL1]).freezing("pair", 2).thawing("pair", 6);
    let config = Rig::config(policy).with_cooldown(Cooldown::Steps(2)).with_cooling(Cooling::Decay);
    let mut optimizer = rig.wrap(make(&rig.vs), &config);
    for step in 1..=6 {
        optimizer.backward_step(&rig.loss(&rig.gradients(step))).unwrap();
    }
    assert!(!optimizer.tracker().is_frozen(1));
    // At the full rate again: as a new optimizer of that rate would.
    let twin = Rig::new();
    copy(&rig.vs, &twin.vs);
    let mut bare = make(&twin.vs);
    let gradients = rig.gradients(7);
    let outside = rig.values(&[crate::support::OUTSIDE]);
    optimizer.backward_step(&rig.loss(&gradients)).unwrap();
    twin.loss(&gradients).backward();
    bare.step().unwrap();
    for name in PAIR {
        assert!(rig.parameter(name).equal(twin.parameter(name)), "{name}");
    }
    assert_ne!(rig.values(&[crate::support::OUTSIDE]), outside);
    assert_eq!(optimizer.tracker().mean_factor(None, 7), 1.0);
}

#[test]
fn a_first_sample_after_a_thaw_never_counts() {
    let rig = Rig::new();
    let policy = Ordered::reading([Statistic::GradL1]).freezing("pair", 2).thawing("pair", 4);
    let policy = policy.freezing("pair", 5).freezing("pair", 6);
    let mut optimizer = rig.wrap(optimizers::fused_adamw(&rig.vs), &Rig::config(policy));
    let frozen: Vec<usize> = (1..=6)
        .map(|step| optimizer.backward_step(&rig.loss(&rig.gradients(step))).unwrap().frozen)
        .collect();
    assert_eq!(frozen, [0, 1, 1, 0, 0, 1]);
}

#[test]
fn statistics_begin_anew_after_a_thaw() {
    let rig = Rig::new();
    let reads = [Statistic::GradDeltaL1, Statistic::WeightDeltaL1, Statistic::SignalFraction];
    let policy = Ordered::reading(reads).freezing("single", 3).thawing("single", 5);
    let mut optimizer = rig.wrap(optimizers::fused_adamw(&rig.vs), &Rig::config(policy));
    for step in 1..=7 {
        let report = optimizer.backward_step(&rig.loss(&rig.gradients(step))).unwrap();
        for statistic in reads {
            let found = crate::support::value(&report, 0, statistic);
            assert_eq!(found.is_some(), matches!(step, 2 | 3 | 7), "{statistic} at step {step}: {found:?}");
        }
    }
}

/// The `thaw` policy with the shortest period; its components freeze when asked for the second time.
fn thawing(freezing: &str, period: u64, rewarm: f64) -> FreezingConfig {
    let document = format!(
        "[freezing]\n{freezing}\n[freezing.policy]\nname = 'thaw'\nperiod = {period}\nprobe = 2\nrewarm = {rewarm}\n\
         policy = {{ name = 'fixed-threshold', tau = 1e9 }}\n"
    );
    FreezingConfig::from_toml(&document).unwrap().with_components(Rig::components())
}

/// Checks over a run of the `thaw` policy that the tracker's events are carried out, and that frozen bytes rest.
fn hold_together(config: &FreezingConfig, lr: impl Fn(u64) -> f64) -> Vec<(u64, Transition)> {
    // One component alone would end the run; the pair is there so that it goes on.
    let rig = Rig::new();
    let mut optimizer = rig.wrap(optimizers::fused_adamw(&rig.vs), config);
    let mut events = Vec::new();
    for step in 1..=30 {
        optimizer.set_lr(lr(step)).unwrap();
        // The pair gets no gradient in most steps, so it is not asked and goes on.
        let mut gradients = rig.gradients(step);
        PAIR.iter().for_each(|name| _ = gradients.remove(name));
        let rests = optimizer.tracker().is_frozen(0);
        let before = rig.values(&[SINGLE]);
        let report = optimizer.backward_step(&rig.loss(&gradients)).unwrap();
        assert_eq!(rig.values(&[SINGLE]) == before, rests, "step {step}: {:?}", report.events);
        assert_eq!(rig.parameter(SINGLE).requires_grad(), !optimizer.tracker().is_frozen(0), "step {step}");
        events.extend(report.events.iter().map(|event| (event.step, event.event)));
    }
    events
}

#[test]
fn a_period_of_one_check_thaws_at_the_next_check() {
    let events = hold_together(&thawing("", 1, 0.0), |_| 0.01);
    assert_eq!(events[..3], [(2, Transition::Freeze), (3, Transition::Thaw), (5, Transition::Freeze)]);
}

#[test]
fn what_has_just_cooled_down_is_not_thawed_in_the_same_step() {
    let events = hold_together(&thawing("cooldown = 2", 1, 0.0), |_| 0.01);
    assert_eq!(
        events[..3],
        [(2, Transition::Cool), (4, Transition::Freeze), (5, Transition::Thaw)],
        "a check is asked about what is frozen, and at step 4 it was cooling"
    );
}

#[test]
fn a_learning_rate_that_rises_while_a_component_cools_thaws_it_after_its_freeze() {
    let events = hold_together(&thawing("cooldown = 3", 50, 2.0), |step| if step < 4 { 0.01 } else { 0.05 });
    assert_eq!(events[..3], [(2, Transition::Cool), (5, Transition::Freeze), (6, Transition::Thaw)]);
}
