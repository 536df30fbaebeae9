//! Thawing: what the tracker does with a policy that brings components back.

use grades::FreezingConfig;
use grades::policy::Cooldown;
use grades::policy::Measure;
use grades::tracker::{FreezeEvent, Transition};

use crate::cooldown::{run, step};
use crate::policies::Scripted;
use crate::tracker::{sample, snapshot, tracker};

#[test]
fn a_frozen_component_comes_back_and_its_first_sample_does_not_count_again() {
    let config = FreezingConfig::new(Scripted::thawing_after(3));
    let mut tracker = tracker(2, &config, 100);
    let mut seen = Vec::new();
    for at in 1..=8 {
        let events = step(&mut tracker, &snapshot(at, &[0.5, 5.0]));
        seen.push((events.join(" "), tracker.frozen(), tracker.is_active(0), tracker.frozen_at(0)));
        assert_eq!(tracker.learning_rate_factor(0, at + 1), f64::from(u8::from(tracker.is_active(0))));
    }
    let row = |events: &str, frozen: usize, at: Option<u64>| (events.to_owned(), frozen, frozen == 0, at);
    let expected = [
        row("", 0, None),
        row("2F0", 1, Some(2)),
        row("", 1, Some(2)),
        row("", 1, Some(2)),
        row("5T0", 0, None), // three steps after the freeze
        row("", 0, None),    // quiet, but the first sample
        row("7F0", 1, Some(7)),
        row("", 1, Some(7)),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_thaw_says_what_decided() {
    let mut tracker = tracker(2, &FreezingConfig::new(Scripted::thawing_after(1)), 100);
    (1..=2).for_each(|at| drop(tracker.check(&snapshot(at, &[5.0, 0.5]))));
    let event = tracker.check(&snapshot(3, &[5.0, 0.5])).events.remove(0);
    let FreezeEvent { event: kind, step, component, statistic, value, threshold, policy, index, .. } = &event;
    assert_eq!((*kind, *step, *index, &**policy), (Transition::Thaw, 3, 1, "scripted"));
    assert_eq!((*statistic, *value, *threshold), (Measure::ChecksFrozen, 1.0, 1.0));
    assert_eq!(component, "model.layers.1.self_attn.q_proj");
    assert!(!event.is_freeze());
    let json = serde_json::to_string(&event).unwrap();
    assert!(json.starts_with(r#"{"event":"thaw","step":3,"#), "{json}");
    assert!(json.contains(r#""statistic":"checks-frozen""#), "{json}");
}

#[test]
fn a_frozen_component_is_asked_at_each_check_with_its_freeze_and_the_learning_rate() {
    let policy = Scripted::thawing_after(50);
    let questions = policy.questions.clone();
    let mut tracker = tracker(2, &FreezingConfig::new(policy), 100);
    (1..=2).for_each(|at| drop(tracker.check(&snapshot(at, &[0.5, 5.0]))));
    questions.take();
    tracker.check(&snapshot(3, &[9.0, f64::NAN]).with_learning_rate(Some(0.25)));
    // Without a gradient as well, which is how a frozen component is seen.
    tracker.check(&grades::statistic::GradientSnapshot::new(4, vec![None, None]));
    let expected = ["frozen 3 of 0, since 2 of 100, lr Some(0.25)", "frozen 4 of 0, since 2 of 100, lr None"];
    assert_eq!(questions.take(), expected);
}

#[test]
fn a_policy_that_does_not_thaw_is_not_asked_about_frozen_components() {
    let policy = Scripted::default();
    let questions = policy.questions.clone();
    let mut tracker = tracker(2, &FreezingConfig::new(policy), 100);
    assert!(!tracker.thaws());
    (1..=5).for_each(|at| drop(tracker.check(&snapshot(at, &[0.5, 5.0]))));
    assert!(questions.take().iter().all(|question| !question.starts_with("frozen")));
}

#[test]
fn once_all_are_frozen_the_run_ends_even_if_the_policy_thaws() {
    let policy = Scripted::thawing_after(1);
    let questions = policy.questions.clone();
    let mut tracker = tracker(2, &FreezingConfig::new(policy), 100);
    assert!(tracker.thaws());
    (1..=2).for_each(|at| drop(tracker.check(&snapshot(at, &[0.5, 0.5]))));
    assert!(tracker.all_frozen() && tracker.should_stop() && !tracker.is_due(3));
    questions.take();
    assert_eq!(tracker.check(&snapshot(3, &[0.5, 0.5])).events, []);
    assert_eq!((tracker.frozen(), questions.take().len()), (2, 0));
}

#[test]
fn the_run_ends_at_the_step_at_which_the_last_component_has_cooled_down() {
    let policy = Scripted { cooldown: Cooldown::Steps(2), ..Scripted::thawing_after(4) };
    let mut tracker = tracker(2, &FreezingConfig::new(policy), 100);
    // One is decided at step 2, the other at step 6: the first one would thaw at the very step at which all are
    // frozen.
    let quiet_from = |first: u64, at: u64| if at < first { 5.0 } else { 0.5 };
    let mut events = Vec::new();
    for at in 1..=9 {
        events.extend(step(&mut tracker, &snapshot(at, &[0.5, quiet_from(6, at)])));
    }
    assert_eq!(events, ["2C0", "4F0", "6C1", "8F1"]);
    assert!(tracker.all_frozen());
}

#[test]
fn a_component_that_has_just_cooled_down_is_not_asked_at_that_step() {
    let policy = Scripted { cooldown: Cooldown::Steps(2), ..Scripted::thawing_after(0) };
    let mut tracker = tracker(2, &FreezingConfig::new(policy), 100);
    let mut events = Vec::new();
    for at in 1..=5 {
        events.extend(step(&mut tracker, &snapshot(at, &[0.5, 5.0])));
    }
    assert_eq!(events, ["2C0", "4F0", "5T0"], "frozen for one step at least");
}

#[test]
fn a_share_as_cooldown_is_counted_from_the_last_thaw() {
    let policy = Scripted { cooldown: Cooldown::Share { share: 1.0 }, ..Scripted::thawing_after(2) };
    let mut tracker = tracker(2, &FreezingConfig::new(policy), 1000);
    let mut events = Vec::new();
    for at in 1..=15 {
        events.extend(step(&mut tracker, &snapshot(at, &[if at < 4 { 5.0 } else { 0.5 }, 5.0])));
    }
    // Decided after 4 steps, and after 2 more since the thaw.
    assert_eq!(events, ["4C0", "8F0", "10T0", "12C0", "14F0"]);
}

#[test]
fn components_thaw_each_on_its_own() {
    let mut tracker = tracker(3, &FreezingConfig::new(Scripted::thawing_after(4)), 12);
    let events = run(&mut tracker, |at| vec![0.5, if at < 5 { 5.0 } else { 0.5 }, 5.0]);
    assert_eq!(events, "2F0 5F1 6T0 8F0 9T1 11F1 12T0");
}

#[test]
fn training_should_stop_counts_what_is_frozen_now() {
    let config = FreezingConfig::new(Scripted::thawing_after(2)).with_stop_at(0.5);
    let mut tracker = tracker(2, &config, 100);
    let stops: Vec<_> = (1..=6)
        .map(|at| {
            tracker.check(&snapshot(at, &[0.5, 5.0]));
            tracker.should_stop()
        })
        .collect();
    assert_eq!(stops, [false, true, true, false, false, true]);
}

#[test]
fn nothing_thaws_once_it_could_no_longer_cool_down() {
    for (cooldown, check_every) in
        [(Cooldown::Steps(10), 1), (Cooldown::Steps(10), 7), (Cooldown::Share { share: 1.0 }, 1)]
    {
        let policy = Scripted { cooldown, ..Scripted::thawing_after(3) };
        let config = FreezingConfig::new(policy).with_check_every(check_every);
        let mut tracker = tracker(2, &config, 100);
        let events = run(&mut tracker, |_| vec![0.5, 5.0]);
        assert_eq!((tracker.frozen(), tracker.cooling()), (2, 0), "{cooldown:?} {check_every}: {events}");
    }
}

#[test]
fn a_component_without_samples_after_its_thaw_stays_active() {
    let mut tracker = tracker(2, &FreezingConfig::new(Scripted::thawing_after(2)), 100);
    (1..=4).for_each(|at| drop(tracker.check(&snapshot(at, &[0.5, 5.0]))));
    assert!(tracker.is_active(0));
    for at in 5..=7 {
        let check = tracker.check(&grades::statistic::GradientSnapshot::new(at, vec![None, sample(5.0)]));
        assert_eq!(check.events, []);
        let check = tracker.check(&snapshot(at, &[f64::NAN, 5.0]));
        assert_eq!((check.events.len(), check.non_finite), (0, vec![0]));
    }
    assert_eq!(tracker.check(&snapshot(8, &[0.5, 5.0])).events, [], "its first sample since");
    assert_eq!(tracker.check(&snapshot(9, &[0.5, 5.0])).events.len(), 1);
}
