//! Cooling: how long, how fast, and that a run with it ends with all components frozen.

use grades::FreezingConfig;
use grades::component::{ComponentConfig, ComponentMap, ParameterInfo};
use grades::config::Cooling;
use grades::policy::Cooldown;
use grades::policy::Measure;
use grades::statistic::{GradientSnapshot, Statistic};
use grades::tracker::{FreezeTracker, TrackerState, Transition};

use crate::policies::{Below, Scripted};
use crate::tracker::{sample, snapshot, tracker};

const NAN: f64 = f64::NAN;

/// A cooldown of so many steps with a falling learning rate.
fn decaying(steps: u64) -> FreezingConfig {
    FreezingConfig::new(Below::new(1.0)).with_cooldown(Cooldown::Steps(steps)).with_cooling(Cooling::Decay)
}

fn averaging(cooldown: Cooldown) -> FreezingConfig {
    FreezingConfig::new(Below::new(1.0)).with_cooldown(cooldown).with_cooling(Cooling::Average)
}

fn share(share: f64) -> Cooldown {
    Cooldown::Share { share }
}

/// One step in the order of the optimizer, its events as words such as `3C0`: step, what happened, component.
pub(crate) fn step(tracker: &mut FreezeTracker, snapshot: &GradientSnapshot) -> Vec<String> {
    let due = tracker.is_due(snapshot.step());
    let mut events = tracker.finish_cooling(snapshot.step());
    if due {
        events.extend(tracker.check(snapshot).events);
    }
    let letter = |kind| match kind {
        Transition::Cool => 'C',
        Transition::Freeze => 'F',
        Transition::Thaw => 'T',
        other => panic!("{other:?}"),
    };
    events.iter().map(|event| format!("{}{}{}", event.step, letter(event.event), event.index)).collect()
}

/// A whole run; the gradients are `values(step)`.
pub(crate) fn run(tracker: &mut FreezeTracker, values: impl Fn(u64) -> Vec<f64>) -> String {
    let steps = 1..=tracker.total_steps();
    let events: Vec<_> = steps.flat_map(|at| step(tracker, &snapshot(at, &values(at)))).collect();
    events.join(" ")
}

/// The events of a run of 100 steps of one component that is quiet from a step on.
fn quiet_from(config: FreezingConfig, first: u64) -> String {
    run(&mut tracker(1, &config, 100), |step| vec![if step < first { 5.0 } else { 0.5 }])
}

#[test]
fn a_component_cools_for_so_many_steps_or_so_large_a_share_of_the_steps_so_far_and_then_freezes() {
    struct Case {
        cooldown: Cooldown,
        check_every: u64,
        /// The first step with a quiet gradient.
        first_quiet: u64,
        events: &'static str,
    }
    let cases = [
        Case { cooldown: Cooldown::Steps(0), check_every: 1, first_quiet: 10, events: "10F0" },
        Case { cooldown: Cooldown::Steps(1), check_every: 1, first_quiet: 10, events: "10C0 11F0" },
        Case { cooldown: Cooldown::Steps(3), check_every: 1, first_quiet: 10, events: "10C0 13F0" },
        Case { cooldown: Cooldown::Steps(90), check_every: 1, first_quiet: 10, events: "10C0 100F0" },
        Case { cooldown: Cooldown::Steps(3), check_every: 1, first_quiet: 1, events: "2C0 5F0" },
        Case { cooldown: share(0.0), check_every: 1, first_quiet: 10, events: "10F0" },
        Case { cooldown: share(1.0), check_every: 1, first_quiet: 10, events: "10C0 20F0" },
        Case { cooldown: share(0.5), check_every: 1, first_quiet: 10, events: "10C0 15F0" },
        Case { cooldown: share(0.5), check_every: 1, first_quiet: 7, events: "7C0 11F0" }, // 3.5 steps are 4
        Case { cooldown: share(2.0), check_every: 1, first_quiet: 10, events: "10C0 30F0" },
        // A tenth of a step is one.
        Case { cooldown: share(0.01), check_every: 1, first_quiet: 10, events: "10C0 11F0" },
        // It freezes between two checks.
        Case { cooldown: Cooldown::Steps(3), check_every: 5, first_quiet: 9, events: "10C0 13F0" },
        Case { cooldown: share(1.0), check_every: 4, first_quiet: 9, events: "12C0 24F0" },
    ];
    for Case { cooldown, check_every, first_quiet, events } in cases {
        let config =
            FreezingConfig::new(Below::new(1.0)).with_cooldown(cooldown).with_check_every(check_every);
        assert_eq!(
            quiet_from(config, first_quiet),
            events,
            "{cooldown:?}, every {check_every}, from {first_quiet}"
        );
    }
}

#[test]
fn the_learning_rate_falls_in_a_straight_line() {
    let mut tracker = tracker(2, &decaying(3), 100);
    let mut factors = Vec::new();
    for at in 1..=8 {
        factors.push(tracker.learning_rate_factor(0, at));
        assert_eq!(tracker.learning_rate_factor(1, at), 1.0, "the other one trains on");
        step(&mut tracker, &snapshot(at, &[0.5, 5.0]));
    }
    // Decided at step 2; the factor is for the update of the step.
    assert_eq!(factors, [1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0, 0.0]);
    assert_eq!(tracker.learning_rate_factor(99, 8), 1.0, "what is no component is not slowed");
}

#[test]
fn the_factor_takes_few_values_and_stays_above_0_until_the_freeze() {
    for steps in 1..=150 {
        let mut tracker = tracker(1, &decaying(steps), 1000);
        (1..=2).for_each(|at| drop(step(&mut tracker, &snapshot(at, &[0.5]))));
        let mut last = 1.0;
        for at in 3..=2 + steps {
            let factor = tracker.learning_rate_factor(0, at);
            let exact = 1.0 - (at - 2) as f64 / (steps + 1) as f64;
            let level = factor * 16.0;
            assert!(level.fract() == 0.0 && level >= 1.0 || level == 0.5, "{factor} at {at} of {steps}");
            assert!((factor - exact).abs() <= 1.0 / 32.0, "{factor} for {exact} at {at} of {steps}");
            assert!(factor <= last, "it rises at {at} of {steps}");
            last = factor;
            assert!(!tracker.is_frozen(0) && !tracker.is_active(0));
            step(&mut tracker, &snapshot(at, &[0.5]));
        }
        assert_eq!(tracker.frozen_at(0), Some(2 + steps));
        assert_eq!(tracker.learning_rate_factor(0, 3 + steps), 0.0);
    }
}

#[test]
fn a_cooling_component_is_neither_active_nor_frozen() {
    let config = FreezingConfig::new(Below::new(1.0)).with_cooldown(Cooldown::Steps(2));
    let mut tracker = tracker(2, &config, 100);
    let mut seen = Vec::new();
    for at in 1..=5 {
        step(&mut tracker, &snapshot(at, &[0.5, 5.0]));
        seen.push((
            tracker.is_active(0),
            tracker.is_frozen(0),
            tracker.cooling(),
            tracker.frozen(),
            tracker.should_stop(),
        ));
    }
    let (active, cooling, frozen) =
        ((true, false, 0, 0, false), (false, false, 1, 0, false), (false, true, 0, 1, false));
    assert_eq!(seen, [active, cooling, cooling, frozen, frozen]);
    assert_eq!(tracker.frozen_at(0), Some(4));
}

#[test]
fn a_cooling_component_is_not_asked_and_not_reported() {
    let policy = Scripted { cooldown: Cooldown::Steps(4), ..Scripted::default() };
    let questions = policy.questions.clone();
    let mut tracker = tracker(2, &FreezingConfig::new(policy), 100);
    tracker.check(&snapshot(1, &[0.5, 5.0]));
    tracker.check(&snapshot(2, &[0.5, 5.0]));
    questions.take();
    for at in 3..=5 {
        let check = tracker.check(&snapshot(at, &[NAN, 5.0]));
        assert_eq!((check.events.len(), check.non_finite.len()), (0, 0));
        assert!(questions.take().iter().all(|question| question.contains("of 1, ")));
    }
    // Loud again, or with a gradient or without: it freezes when its time has come.
    assert_eq!(step(&mut tracker, &GradientSnapshot::new(6, vec![None, sample(5.0)])), ["6F0"]);
}

#[test]
fn what_cools_counts_as_decided() {
    let recorder = crate::policies::Recorder::default();
    let config = FreezingConfig::new(recorder.clone()).with_cooldown(Cooldown::Steps(3));
    let mut tracker = tracker(3, &config, 100);
    for at in 1..=7 {
        step(&mut tracker, &snapshot(at, &[0.5, 5.0, if at < 4 { 5.0 } else { 0.5 }]));
    }
    // Component 0 cools from step 2 and is frozen at 5, component 2 cools from 4 and is frozen at 7.
    let decided: Vec<_> = recorder.take().iter().map(|asked| (asked.step, asked.population.1)).collect();
    let expected = [(1, 0), (1, 0), (1, 0), (2, 0), (2, 0), (2, 0), (3, 1), (3, 1), (4, 1), (4, 1)];
    assert_eq!(decided, [&expected[..], &[(5, 2), (6, 2), (7, 2)]].concat());
}

#[test]
fn both_events_say_what_decided() {
    let config = FreezingConfig::new(Below::new(1.0)).with_cooldown(Cooldown::Steps(2));
    let mut tracker = tracker(1, &config, 100);
    tracker.check(&snapshot(1, &[0.5]));
    let cool = tracker.check(&snapshot(2, &[0.25])).events.remove(0);
    assert_eq!(tracker.finish_cooling(3), []);
    let freeze = tracker.finish_cooling(4).remove(0);
    assert!(freeze.is_freeze() && !cool.is_freeze());
    for (event, step) in [(&cool, 2), (&freeze, 4)] {
        assert_eq!(event.step, step);
        assert_eq!((event.value, event.threshold, &*event.policy), (0.25, 1.0, "below"));
        assert_eq!(event.statistic, Statistic::GradL1.into());
    }
    let json = serde_json::to_string(&cool).unwrap();
    assert!(json.starts_with(r#"{"event":"cool","step":2,"component":"model.layers.0."#), "{json}");
    assert!(json.contains(r#""statistic":"grad-l1","value":0.25"#), "{json}");
}

#[test]
fn the_mean_factor_is_that_of_the_components_of_a_block_or_of_all() {
    let names = ["layers.0.self_attn.q_proj", "layers.0.self_attn.k_proj", "layers.1.self_attn.q_proj"];
    let parameters = names.map(|name| ParameterInfo::new(format!("model.{name}.weight"), [2, 2]));
    let map = ComponentMap::new(&parameters, &ComponentConfig::default()).unwrap();
    let mut tracker = FreezeTracker::new(map, &decaying(3), 100).unwrap();
    let means = |tracker: &FreezeTracker, at| {
        [Some(0), Some(1), Some(9), None].map(|layer| tracker.mean_factor(layer, at))
    };
    assert_eq!(means(&tracker, 1), [1.0; 4]);
    (1..=2).for_each(|at| drop(step(&mut tracker, &snapshot(at, &[0.5, 5.0, 5.0]))));
    // Factors 0.5, 1 and 1; a block without components follows all: 2.5 ÷ 3 of 16 levels is 13.33.
    assert_eq!(means(&tracker, 4), [0.75, 1.0, 13.0 / 16.0, 13.0 / 16.0]);
    (3..=5).for_each(|at| drop(step(&mut tracker, &snapshot(at, &[0.5, 5.0, 5.0]))));
    assert_eq!(means(&tracker, 6), [0.5, 1.0, 11.0 / 16.0, 11.0 / 16.0]);
    (6..=99).for_each(|at| drop(step(&mut tracker, &snapshot(at, &[0.5, 0.5, 0.5]))));
    assert_eq!(means(&tracker, 100), [0.0; 4]);
}

#[test]
fn the_mean_of_the_steps_since_decisions_is_that_of_a_block_or_of_all() {
    let names = ["layers.0.self_attn.q_proj", "layers.0.self_attn.k_proj", "layers.1.self_attn.q_proj"];
    let parameters = names.map(|name| ParameterInfo::new(format!("model.{name}.weight"), [2, 2]));
    let map = ComponentMap::new(&parameters, &ComponentConfig::default()).unwrap();
    let mut tracker = FreezeTracker::new(map, &averaging(Cooldown::Steps(3)), 100).unwrap();
    let means = |tracker: &FreezeTracker, at| {
        [Some(0), Some(1), Some(9), None].map(|layer| tracker.mean_steps_since_decision(layer, at))
    };
    assert_eq!(means(&tracker, 1), [0.0; 4]);
    // One cools from step 2 on and is frozen at 5; averaging leaves all learning rates alone until then.
    for at in 1..=8 {
        step(&mut tracker, &snapshot(at, &[0.5, 5.0, 5.0]));
        let since = at.saturating_sub(2) as f64;
        let expected = [since / 2.0, 0.0, since / 3.0, since / 3.0];
        assert_eq!(means(&tracker, at), expected, "a block without components follows all");
        assert_eq!(
            (tracker.steps_since_decision(0, at) as f64, tracker.steps_since_decision(1, at)),
            (since, 0)
        );
        assert_eq!(tracker.is_cooling(0), (2..5).contains(&at));
        assert_eq!(tracker.learning_rate_factor(0, at + 1), if at < 5 { 1.0 } else { 0.0 });
    }
}

#[test]
fn what_cools_by_averaging_does_so_as_long_as_what_is_decided_meanwhile() {
    struct Case {
        cooldown: Cooldown,
        /// The steps of the run.
        total: u64,
        /// The first step of each component with a quiet gradient.
        first_quiet: Vec<u64>,
        /// The events when components cool by averaging.
        averaged: &'static str,
        /// The events when their learning rate falls.
        decayed: &'static str,
    }
    let cases = [
        Case {
            cooldown: share(1.0),
            total: 100,
            first_quiet: vec![10, 15],
            averaged: "10C0 15C1 25F0 30F1",
            decayed: "10C0 15C1 20F0 30F1",
        },
        Case {
            cooldown: share(1.0),
            total: 100,
            first_quiet: vec![15, 10],
            averaged: "10C1 15C0 25F1 30F0",
            decayed: "10C1 15C0 20F1 30F0",
        },
        // The first one is frozen when the second is decided.
        Case {
            cooldown: share(1.0),
            total: 100,
            first_quiet: vec![10, 25],
            averaged: "10C0 20F0 25C1 50F1",
            decayed: "10C0 20F0 25C1 50F1",
        },
        Case {
            cooldown: share(1.0),
            total: 100,
            first_quiet: vec![10, 12, 14],
            averaged: "10C0 12C1 14C2 24F0 26F1 28F2",
            decayed: "10C0 12C1 14C2 20F0 24F1 28F2",
        },
        Case {
            cooldown: share(0.5),
            total: 100,
            first_quiet: vec![20, 26],
            averaged: "20C0 26C1 33F0 39F1",
            decayed: "20C0 26C1 30F0 39F1",
        },
        Case {
            cooldown: share(1.0),
            total: 24,
            first_quiet: vec![8, 12],
            averaged: "8C0 12C1 20F0 24F1",
            decayed: "8C0 12C1 16F0 24F1",
        },
        Case {
            cooldown: Cooldown::Steps(6),
            total: 100,
            first_quiet: vec![10, 15],
            averaged: "10C0 15C1 16F0 21F1",
            decayed: "10C0 15C1 16F0 21F1",
        },
    ];
    for Case { cooldown, total, first_quiet, averaged, decayed } in cases {
        let values =
            |step: u64| first_quiet.iter().map(|first| if step < *first { 5.0 } else { 0.5 }).collect();
        for (cooling, expected) in [(Cooling::Average, averaged), (Cooling::Decay, decayed)] {
            let config = averaging(cooldown).with_cooling(cooling);
            let found = run(&mut tracker(first_quiet.len(), &config, total), values);
            assert_eq!(found, expected, "{cooldown:?}, {first_quiet:?}, {cooling}");
        }
    }
}

#[test]
fn the_cooldown_is_the_policys_unless_the_configuration_says_otherwise() {
    let policy = |cooldown| Scripted { cooldown, ..Scripted::default() };
    struct Case {
        /// The policy's.
        own: Cooldown,
        configured: Option<Cooldown>,
        events: &'static str,
    }
    let cases = [
        Case { own: Cooldown::Steps(2), configured: None, events: "10C0 12F0" },
        Case { own: share(1.0), configured: None, events: "10C0 20F0" },
        Case { own: Cooldown::Steps(0), configured: None, events: "10F0" },
        Case { own: Cooldown::Steps(2), configured: Some(Cooldown::Steps(5)), events: "10C0 15F0" },
        Case { own: share(1.0), configured: Some(Cooldown::Steps(0)), events: "10F0" },
        Case { own: share(1.0), configured: Some(share(0.0)), events: "10F0" },
        Case { own: Cooldown::Steps(0), configured: Some(share(0.5)), events: "10C0 15F0" },
    ];
    for Case { own, configured, events } in cases {
        let config = FreezingConfig::new(policy(own));
        let config = match configured {
            Some(cooldown) => config.with_cooldown(cooldown),
            None => config,
        };
        let cools = events.contains('C');
        assert_eq!(config.cools(), cools, "{own:?}, {configured:?}");
        assert_eq!(tracker(1, &config, 100).cools(), cools, "{own:?}, {configured:?}");
        assert_eq!(quiet_from(config, 10), events, "{own:?}, {configured:?}");
    }
}

#[test]
fn whether_it_cools_cannot_be_said_of_a_policy_that_cannot_be_built() {
    let table = "policy = { name = \"planned\", needs = 20 }".parse().unwrap();
    assert!(!FreezingConfig::from_table("freezing", &table).unwrap().cools());
    let mut problems = grades::Problems::default();
    let wrong = "policy = { name = \"below\" }".parse().unwrap();
    let config = FreezingConfig::read("freezing", &wrong, &mut problems).unwrap();
    assert!(config.is_none() && !problems.is_empty());
}

#[test]
fn the_longer_of_two_cooldowns_is_kept_and_a_share_is_longer_than_a_number() {
    let steps = Cooldown::Steps;
    struct Case {
        one: Cooldown,
        other: Cooldown,
        longer: Cooldown,
    }
    let cases = [
        Case { one: steps(3), other: steps(5), longer: steps(5) },
        Case { one: share(0.5), other: share(1.0), longer: share(1.0) },
        Case { one: share(0.5), other: steps(1000), longer: share(0.5) },
        Case { one: share(0.0), other: steps(5), longer: steps(5) },
        Case { one: share(0.5), other: steps(0), longer: share(0.5) },
    ];
    for Case { one, other, longer } in cases {
        assert_eq!(one.longer(other), longer);
        assert_eq!(other.longer(one), longer);
    }
    assert!(share(0.0).longer(steps(0)).is_off());
    assert!(Cooldown::default().is_off() && !steps(1).is_off() && !share(0.1).is_off());
}

#[test]
fn a_component_that_never_converges_cools_at_the_deadline() {
    struct Case {
        total_steps: u64,
        cooldown: Cooldown,
        check_every: u64,
        /// It cools at the last check at which it can still cool as long as it should.
        events: &'static str,
    }
    let cases = [
        Case { total_steps: 100, cooldown: Cooldown::Steps(20), check_every: 1, events: "80C0 100F0" },
        Case { total_steps: 100, cooldown: Cooldown::Steps(1), check_every: 1, events: "99C0 100F0" },
        Case { total_steps: 100, cooldown: share(1.0), check_every: 1, events: "50C0 100F0" },
        // From 51 on it would last to 102.
        Case { total_steps: 101, cooldown: share(1.0), check_every: 1, events: "50C0 100F0" },
        Case { total_steps: 100, cooldown: share(0.5), check_every: 1, events: "66C0 99F0" },
        Case { total_steps: 100, cooldown: share(0.7), check_every: 1, events: "58C0 99F0" },
        Case { total_steps: 100, cooldown: share(3.0), check_every: 1, events: "25C0 100F0" },
        // At 90 there are 10 steps left.
        Case { total_steps: 100, cooldown: Cooldown::Steps(15), check_every: 10, events: "80C0 95F0" },
        // And this is the last check.
        Case { total_steps: 100, cooldown: Cooldown::Steps(5), check_every: 30, events: "90C0 95F0" },
        Case { total_steps: 100, cooldown: share(1.0), check_every: 7, events: "49C0 98F0" },
        // What cannot be is cut short.
        Case { total_steps: 100, cooldown: Cooldown::Steps(99), check_every: 1, events: "1C0 100F0" },
        Case { total_steps: 100, cooldown: Cooldown::Steps(1000), check_every: 1, events: "1C0 100F0" },
        Case { total_steps: 100, cooldown: Cooldown::Steps(u64::MAX), check_every: 1, events: "1C0 100F0" },
        Case { total_steps: 100, cooldown: share(1e30), check_every: 1, events: "1C0 100F0" },
        Case { total_steps: 100, cooldown: Cooldown::Steps(20), check_every: 90, events: "90C0 100F0" },
        Case { total_steps: 100, cooldown: Cooldown::Steps(20), check_every: 100, events: "100F0" },
        Case { total_steps: 1, cooldown: Cooldown::Steps(20), check_every: 1, events: "1F0" },
        // The paper's way has no deadline.
        Case { total_steps: 100, cooldown: Cooldown::Steps(0), check_every: 1, events: "" },
        Case { total_steps: 100, cooldown: share(0.0), check_every: 1, events: "" },
    ];
    for Case { total_steps, cooldown, check_every, events } in cases {
        let config =
            FreezingConfig::new(Below::new(1.0)).with_cooldown(cooldown).with_check_every(check_every);
        let mut tracker = tracker(1, &config, total_steps);
        let message = format!("{cooldown:?} of {total_steps}, every {check_every}");
        assert_eq!(run(&mut tracker, |_| vec![5.0]), events, "{message}");
    }
}

#[test]
fn with_a_cooldown_every_component_is_frozen_at_the_end_of_the_run() {
    let cooldowns = [Cooldown::Steps(1), Cooldown::Steps(7), share(0.3), share(1.0), share(2.5)];
    for total_steps in 1..=30 {
        for (cooldown, cooling) in
            cooldowns.into_iter().flat_map(|one| Cooling::ALL.map(|cooling| (one, cooling)))
        {
            for check_every in 1..=total_steps.min(8) {
                // One never converges, one does at once, one late, one has gradients that are not finite.
                let values = |step: u64| {
                    let late = if step * 4 > total_steps * 3 { 0.5 } else { 5.0 };
                    vec![5.0, 0.5, late, if step * 2 > total_steps { 5.0 } else { NAN }]
                };
                let config = averaging(cooldown).with_cooling(cooling).with_check_every(check_every);
                let mut tracker = tracker(4, &config, total_steps);
                let events = run(&mut tracker, values);
                let message = format!("{cooldown:?} of {total_steps}, every {check_every}: {events}");
                // A component that had no gradient at any check is left out.
                let last_check = total_steps / check_every * check_every;
                let expected = if last_check * 2 > total_steps { 4 } else { 3 };
                assert_eq!(tracker.frozen(), expected, "{message}");
                assert_eq!(tracker.cooling(), 0, "{message}");
            }
        }
    }
}

#[test]
fn a_decision_that_comes_too_late_for_its_cooldown_is_cut_short() {
    // Not a number until step 90, quiet from then on: the deadline of step 80 has passed.
    let config = FreezingConfig::new(Below::new(1.0)).with_cooldown(Cooldown::Steps(20));
    let mut tracker = tracker(1, &config, 100);
    let events = run(&mut tracker, |step| vec![if step < 90 { NAN } else { 0.5 }]);
    assert_eq!(events, "90C0 100F0");
}

#[test]
fn the_deadline_waits_for_the_grace_period_and_then_cuts_the_cooldown_short() {
    let config = FreezingConfig::new(Below::new(1.0)).with_cooldown(share(1.0)).with_grace(0.9);
    let mut tracker = tracker(1, &config, 100);
    assert_eq!(run(&mut tracker, |_| vec![5.0]), "91C0 100F0");
}

#[test]
fn the_deadline_is_the_cause_only_where_the_policy_keeps() {
    let cause = |value| {
        let config = FreezingConfig::new(Below::new(1.0)).with_cooldown(Cooldown::Steps(20));
        let mut tracker = tracker(1, &config, 100);
        for step in 1..80 {
            assert_eq!(tracker.check(&snapshot(step, &[5.0])).events, []);
        }
        let event = tracker.check(&snapshot(80, &[value])).events.remove(0);
        (event.policy.into_owned(), event.statistic, event.value, event.threshold)
    };
    assert_eq!(cause(5.0), ("deadline".to_owned(), Measure::StepsLeft, 20.0, 20.0));
    assert_eq!(cause(0.5), ("below".to_owned(), Statistic::GradL1.into(), 0.5, 1.0));
}

#[test]
fn the_cooldown_of_a_file_of_version_1_is_read() {
    struct Case {
        cooldown: Cooldown,
        now: &'static str,
        version_1: &'static str,
    }
    let cases = [
        Case { cooldown: Cooldown::Steps(2), now: "cooldown = 2", version_1: "cooldown = \"Steps(2)\"" },
        Case {
            cooldown: Cooldown::Share { share: 0.5 },
            now: "[cooldown]\nshare = 0.5",
            version_1: "cooldown = \"Share { share: 0.5 }\"",
        },
    ];
    for Case { cooldown, now, version_1 } in cases {
        let config = FreezingConfig::new(Below::new(1.0)).with_cooldown(cooldown);
        let mut tracker = tracker(1, &config, 100);
        let state = tracker.state().unwrap();
        let text = toml::to_string(&state).unwrap();
        assert!(text.contains(now), "{text}");
        assert_eq!(toml::from_str::<TrackerState>(&text).unwrap(), state);
        let old = format!("{version_1}\n{}", text.replace(now, ""));
        let read: TrackerState = toml::from_str(&old).unwrap();
        assert_eq!(read, state);
        tracker.restore(&read).unwrap();
        let wrong = format!("cooldown = \"Steps(-1)\"\n{}", text.replace(now, ""));
        let error = toml::from_str::<TrackerState>(&wrong).unwrap_err().to_string();
        assert!(error.contains("expected a cooldown, found \"Steps(-1)\""), "{error}");
    }
}
