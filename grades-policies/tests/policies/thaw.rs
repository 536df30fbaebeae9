//! `thaw`: when a component comes back, and what the timer learns from it.

use grades::FreezingConfig;
use grades::component::{Component, ComponentKind};
use grades::policy::Cooldown;
use grades::policy::{Cause, Decision, FreezePolicy, FrozenObservation, Measure, Observation};
use grades::statistic::{ComponentSample, Statistic, StatisticSet};
use grades_policies::{FixedThreshold, Patience, RelativeToPeak, Thaw};

use crate::support::{build, events, problems, tracker};

fn below_1() -> FixedThreshold {
    FixedThreshold::new(Statistic::GradL1, 1.0)
}

/// Returns the policy's answers to a script, a letter each: `q` for a quiet check, `l` for a loud one, `n` for one that is
/// not finite, `_` for a check while frozen. The answers are `F` to freeze, `T` to thaw, `.` to keep.
fn answers(policy: &mut dyn FreezePolicy, script: &str) -> String {
    let component = Component::detached("layers.0.wq", ComponentKind::Query, Some(0), 1);
    let answer = |(step, letter): (u64, char)| {
        let gradient = match letter {
            'q' => 0.5,
            'l' => 2.0,
            'n' => f64::NAN,
            _ => return policy.decide_frozen(&FrozenObservation::new(&component, 0, step, 1000)),
        };
        let sample = ComponentSample::from_gradient(&[gradient]);
        policy.decide(&Observation::new(&component, &sample).at(step, 1000))
    };
    let letter = |decision| match decision {
        Decision::Freeze(_) => 'F',
        Decision::Thaw(_) => 'T',
        _ => '.',
    };
    (1..).zip(script.chars()).map(answer).map(letter).collect()
}

fn period(policy: &dyn FreezePolicy) -> i64 {
    policy.state().unwrap().as_table()["timer"]["period"].as_integer().unwrap()
}

#[test]
fn it_freezes_as_the_other_policy_says_and_thaws_after_the_period() {
    struct Case {
        period: u64,
        script: &'static str,
        expected: &'static str,
    }
    let cases = [
        Case { period: 3, script: "llq___", expected: "..F..T" },
        Case { period: 1, script: "q_", expected: "FT" },
        // Brought back by someone else before its time: the count starts anew.
        Case { period: 5, script: "q____lq____", expected: "F.....F...." },
        // It was loud, so half of the period.
        Case { period: 4, script: "q____lllq__", expected: "F...T...F.T" },
    ];
    for Case { period, script, expected } in cases {
        let mut policy = Thaw::new(period, 2, 0.0, below_1());
        assert_eq!(answers(&mut policy, script), expected, "{script}");
    }
}

#[test]
fn the_period_grows_by_one_after_a_stable_probe_and_halves_after_an_unstable_one() {
    let frozen = "q________";
    struct Case {
        script: &'static str,
        /// The period afterwards, from 8 and with a probe of 3 checks.
        expected: i64,
        why: &'static str,
    }
    let cases = [
        Case { script: "lqqqql", expected: 8, why: "before the first thaw nothing is learnt" },
        Case { script: "q________", expected: 8, why: "nor at the thaw itself" },
        Case { script: "q________lq", expected: 9, why: "frozen again at the second check of the probe" },
        Case { script: "q________llq", expected: 9, why: "or at the last one" },
        Case { script: "q________lll", expected: 4, why: "not frozen within the probe" },
        Case { script: "q________llllllq", expected: 4, why: "but later" },
        Case { script: "q________ll", expected: 8, why: "the probe is not over" },
        Case { script: "q________nnlnlnq", expected: 9, why: "what is not finite is no check of the probe" },
        Case { script: "q________q", expected: 8, why: "the first check after a thaw never counts" },
        Case { script: "q________ql", expected: 8, why: "so it is not stable for that" },
        Case { script: "q________qll", expected: 4, why: "and the probe goes on" },
        Case { script: "q________qq", expected: 9, why: "until it is quiet at one that counts" },
    ];
    for Case { script, expected, why } in cases {
        let mut policy = Thaw::new(8, 3, 0.0, below_1());
        let answers = answers(&mut policy, script);
        assert_eq!(period(&policy), expected, "{script} gave {answers}: {why}");
    }
    // Twice stable, and it waits for the longer period.
    let mut policy = Thaw::new(8, 3, 0.0, below_1());
    assert_eq!(answers(&mut policy, frozen), "F.......T");
    assert_eq!(answers(&mut policy, "lq_________"), ".F........T");
    assert_eq!(answers(&mut policy, "lq__________"), ".F.........T");
    // Never below one check.
    for expected in [5, 2, 1, 1] {
        answers(&mut policy, "lllq");
        assert_eq!(period(&policy), expected);
        assert!(answers(&mut policy, &"_".repeat(expected as usize)).ends_with('T'));
    }
}

#[test]
fn in_a_run_a_stable_component_is_left_alone_longer_each_time() {
    let names = ["layers.0.self_attn.q_proj", "layers.1.self_attn.q_proj"];
    let config = FreezingConfig::new(Thaw::new(3, 2, 0.0, below_1()));
    let loud = |_, index| Some(ComponentSample::from_gradient(&[[0.5, 5.0][index]]));
    // Two checks to freeze again, for the first does not count; periods of 3, 4, 5 and 6 checks.
    let expected = "2F0 5T0 7F0 11T0 13F0 18T0 20F0 26T0";
    assert_eq!(events(&mut tracker(&names, &config, 26), loud), expected);
    // Loud after each thaw for so long that the probe ends: periods of 6, 3 and 1.
    let config = FreezingConfig::new(Thaw::new(6, 2, 0.0, below_1()));
    let sample = |step, index| {
        let loud = index == 1 || matches!(step, 9..=11 | 16..=17 | 20..=22);
        Some(ComponentSample::from_gradient(&[if loud { 5.0 } else { 0.5 }]))
    };
    assert_eq!(events(&mut tracker(&names, &config, 25), sample), "2F0 8T0 12F0 15T0 18F0 19T0 23F0 24T0");
}

#[test]
fn all_frozen_ends_the_run_whatever_the_timer_says() {
    let names = ["layers.0.self_attn.q_proj", "layers.1.self_attn.q_proj"];
    let config = FreezingConfig::new(Thaw::new(1, 2, 0.0, below_1()));
    let mut tracker = tracker(&names, &config, 20);
    let quiet = |_, _| Some(ComponentSample::from_gradient(&[0.5]));
    assert_eq!(events(&mut tracker, quiet), "2F0 2F1");
    assert!(tracker.should_stop());
}

#[test]
fn the_other_policy_begins_anew_at_a_thaw() {
    // Three hits before each freeze.
    let mut policy = Thaw::new(2, 9, 0.0, Patience::new(3, below_1()));
    assert_eq!(answers(&mut policy, "qqqq__qqqq"), "..FF.T..FF");
    // A peak of its own: 2 is the first value it sees after the thaw, and 0.5 a quarter of it.
    let mut policy = Thaw::new(1, 9, 0.0, RelativeToPeak::new(0.5, 1, 1));
    assert_eq!(answers(&mut policy, "lq_qqlq"), ".FT...F");
    // So does patience around it.
    let mut policy = Patience::new(2, Thaw::new(1, 9, 0.0, below_1()));
    assert_eq!(answers(&mut policy, "qq_qq"), ".FT.F");
}

#[test]
fn a_rising_learning_rate_thaws_at_once() {
    let component = Component::detached("layers.0.wq", ComponentKind::Query, Some(0), 1);
    let sample = ComponentSample::from_gradient(&[0.5]);
    let thaws = |rewarm: f64, before: Option<f64>, after: Option<f64>| {
        let mut policy = Thaw::new(100, 2, rewarm, below_1());
        let observation = Observation::new(&component, &sample).with_learning_rate(before);
        assert!(policy.decide(&observation).is_freeze());
        let frozen = FrozenObservation::new(&component, 1, 2, 1000).with_learning_rate(after);
        policy.decide_frozen(&frozen)
    };
    let warm = |value: f64, threshold: f64| {
        Decision::Thaw(Cause::new("thaw", Measure::LearningRate, value, threshold))
    };
    assert_eq!(thaws(2.0, Some(0.25), Some(0.75)), warm(0.75, 0.5));
    assert_eq!(thaws(1.0, Some(0.25), Some(0.5)), warm(0.5, 0.25));
    // Equal is not above, and what is not known thaws nothing.
    struct Case {
        rewarm: f64,
        /// The learning rate at the freeze.
        before: Option<f64>,
        /// The learning rate now.
        after: Option<f64>,
    }
    let kept = [
        Case { rewarm: 2.0, before: Some(0.25), after: Some(0.5) },
        Case { rewarm: 2.0, before: Some(0.25), after: Some(0.1) },
        Case { rewarm: 0.0, before: Some(0.25), after: Some(100.0) },
        Case { rewarm: 2.0, before: None, after: Some(100.0) },
        Case { rewarm: 2.0, before: Some(0.25), after: None },
        Case { rewarm: 2.0, before: Some(0.0), after: Some(0.5) },
        Case { rewarm: 2.0, before: Some(0.25), after: Some(f64::NAN) },
        Case { rewarm: 2.0, before: Some(f64::NAN), after: Some(0.5) },
    ];
    for Case { rewarm, before, after } in kept {
        assert_eq!(thaws(rewarm, before, after), Decision::Keep, "{rewarm}, {before:?}, {after:?}");
    }
}

#[test]
fn the_learning_rate_is_that_of_the_last_check_before_the_freeze() {
    let component = Component::detached("layers.0.wq", ComponentKind::Query, Some(0), 1);
    let sample = ComponentSample::from_gradient(&[0.5]);
    let mut policy = Thaw::new(100, 2, 1.5, below_1());
    for rate in [1.0, 0.5, 0.25] {
        policy.decide(&Observation::new(&component, &sample).with_learning_rate(Some(rate)));
    }
    let mut ask = |rate| {
        policy.decide_frozen(&FrozenObservation::new(&component, 1, 2, 9).with_learning_rate(Some(rate)))
    };
    assert_eq!(ask(0.375), Decision::Keep);
    assert!(matches!(ask(0.4), Decision::Thaw(_)));
}

#[test]
fn the_timers_cause_is_the_checks_that_it_was_frozen() {
    let component = Component::detached("layers.0.wq", ComponentKind::Query, Some(0), 1);
    let mut policy = Thaw::new(2, 2, 0.0, below_1());
    let mut ask = |step| policy.decide_frozen(&FrozenObservation::new(&component, 1, step, 9));
    assert_eq!(ask(2), Decision::Keep);
    let cause = Cause::new("thaw", Measure::ChecksFrozen, 2.0, 2.0);
    assert_eq!(ask(3), Decision::Thaw(cause));
}

#[test]
fn its_table_is_read() {
    let child = "policy = { name = \"fixed-threshold\", tau = 1 }";
    let mut policy = build(&format!("name = \"thaw\"\nperiod = 2\nprobe = 2\n{child}")).unwrap();
    assert_eq!(answers(&mut *policy, "q__lq___"), "F.T.F..T");
    assert!(policy.thaws() && !policy.is_scale_free());
    assert_eq!(policy.statistics(), StatisticSet::of([Statistic::GradL1]));
    assert_eq!(policy.default_cooldown(), Cooldown::Steps(0));
    // A period of 50 checks and a probe of 40.
    let mut policy = build(&format!("name = \"thaw\"\n{child}")).unwrap();
    assert_eq!(answers(&mut *policy, &format!("q{}", "_".repeat(50))), format!("F{}T", ".".repeat(49)));
    answers(&mut *policy, &"l".repeat(39));
    assert_eq!(period(&*policy), 50);
    answers(&mut *policy, "l");
    assert_eq!(period(&*policy), 25);
}

#[test]
fn its_tables_problems_are_reported() {
    let text = problems("name = \"thaw\"\nperiod = 0\nprobe = 1\nrewarm = 0.5\nprob = 1");
    let expected = [
        "policy.prob: unknown key (did you mean \"probe\"?); known: policy, period, probe, rewarm",
        "policy.period: expected a whole number, at least 1, found 0",
        "policy.probe: expected a whole number, at least 2: the first check after a thaw never counts, found 1",
        "policy.rewarm: expected 0 or a number of at least 1, found 0.5",
        "policy.policy: is missing; expected the table of a policy, such as { name = \"…\" }",
    ];
    assert_eq!(text, format!("5 problems:\n  {}", expected.join("\n  ")));
    for rewarm in ["-1", "nan", "inf", "\"1\""] {
        let text = problems(&format!("name = \"thaw\"\nrewarm = {rewarm}\npolicy = {{ name = \"quota\" }}"));
        assert_eq!(text, format!("policy.rewarm: expected 0 or a number of at least 1, found {rewarm}"));
    }
}

#[test]
fn a_timer_inside_a_timer_is_a_contradiction() {
    let thaw = "{ name = \"thaw\", policy = { name = \"quota\" } }";
    let expected = "policy.policy: thaws itself, so that two timers would contradict each other";
    for child in [
        thaw.to_owned(),
        format!("{{ name = \"patience\", policy = {thaw} }}"),
        format!("{{ name = \"any-of\", policies = [{{ name = \"quota\" }}, {thaw}] }}"),
        format!("{{ name = \"per-component-type\", mlp = {thaw} }}"),
    ] {
        assert_eq!(problems(&format!("name = \"thaw\"\npolicy = {child}")), expected);
    }
    build(&format!("name = \"patience\"\npolicy = {thaw}")).unwrap();
}
