//! `no-progress`.

use grades::FreezingConfig;
use grades::component::{Component, ComponentKind};
use grades::policy::{Cooldown, FreezePolicy, Observation};
use grades::statistic::{ComponentSample, Statistic, StatisticSet};
use grades_policies::NoProgress;

use crate::support::{assert_close, build, cause, events, observe, problems, samples, tracker, word};

/// The decisions when the progress takes these values, as a letter each.
fn letters(policy: &mut dyn FreezePolicy, values: &[f64]) -> String {
    word(&observe(policy, samples(Statistic::Progress, values)))
}

/// Values that lie alternately above and below a mean.
fn around(mean: f64, by: f64, count: usize) -> Vec<f64> {
    (0..count).map(|i| if i % 2 == 0 { mean + by } else { mean - by }).collect()
}

#[test]
fn it_freezes_once_the_average_is_within_its_error() {
    // Window 4: from the fourth value on there is an average; then two hits.
    let table: &[(&str, Vec<f64>, &str)] = &[
        ("a steady progress", around(1.0, 0.0, 12), "............"),
        ("a clear progress under noise", around(1.0, 0.5, 12), "............"),
        ("noise", around(0.0, 1.0, 8), "....FFFF"),
        ("a progress that noise drowns", around(0.1, 1.0, 8), "....FFFF"),
        ("a loss that rises", around(-1.0, 0.5, 8), "....FFFF"),
        ("none at all", vec![0.0; 8], "....FFFF"),
        ("progress, then noise", [around(1.0, 0.0, 6), around(0.0, 1.0, 8)].concat(), "..........FFFF"),
    ];
    for (what, values, expected) in table {
        assert_eq!(letters(&mut NoProgress::new(1.0, 4, 2), values), *expected, "{what}");
    }
}

#[test]
fn more_standard_errors_freeze_sooner() {
    // A mean of 1 with deviations of 2: over a decay of 1 − 1/8 its standard error is about 0.55.
    let values = around(1.0, 2.0, 40);
    let freezes = |z: f64| letters(&mut NoProgress::new(z, 8, 3), &values).contains('F');
    assert_eq!([0.0, 0.5, 3.0].map(freezes), [false, false, true]);
}

#[test]
fn its_cause_is_the_average_and_the_errors_that_it_must_be_above() {
    let decisions = observe(&mut NoProgress::new(2.0, 2, 1), samples(Statistic::Progress, &[3.0, -1.0]));
    // Weights 1/3 and 2/3: mean 1/3, S = 32/9, Q = 5/9, a variance of the mean of S·Q ÷ (1 − Q).
    let cause = cause(&decisions);
    assert_close(cause.value, 1.0 / 3.0);
    assert_close(cause.threshold, 2.0 * (32.0f64 / 9.0 * 5.0 / 9.0 / (4.0 / 9.0)).sqrt());
    assert_eq!((&*cause.policy, cause.measure), ("no-progress", Statistic::Progress.into()));
}

#[test]
fn checks_at_a_rising_learning_rate_are_not_counted() {
    let component = Component::detached("layers.0.wq", ComponentKind::Query, Some(0), 1);
    let mut policy = NoProgress::new(1.0, 3, 1);
    let mut ask = |step: u64, rate: f64| {
        let sample = ComponentSample::new(1).with(Statistic::Progress, 0.0);
        let observation = Observation::new(&component, &sample).at(step, 100).with_learning_rate(Some(rate));
        policy.decide(&observation).is_freeze()
    };
    let warm_up: Vec<bool> = (1..=10).map(|step| ask(step, step as f64)).collect();
    // The first check has none before it to rise from.
    assert!(warm_up.iter().all(|frozen| !frozen));
    assert_eq!([11, 12, 13].map(|step| ask(step, 10.0)), [false, true, true]);
}

#[test]
fn values_that_are_absent_or_not_finite_change_nothing() {
    let mut policy = NoProgress::new(1.0, 3, 1);
    let values = [0.0, f64::NAN, 0.0, f64::INFINITY, 0.0];
    assert_eq!(letters(&mut policy, &values), "....F");
    let decisions = observe(&mut policy, [ComponentSample::from_gradient(&[1.0])]);
    assert_eq!(word(&decisions), ".");
}

const QUERIES: [&str; 2] = ["layers.0.self_attn.q_proj", "layers.1.self_attn.q_proj"];

#[test]
fn ninety_steps_are_enough_to_decide() {
    // A tenth of the run is 9 checks. One component brings nothing from the start, the other until step 30.
    let config = FreezingConfig::from_toml("[freezing.policy]\nname = \"no-progress\"").unwrap();
    assert!(config.cools());
    let mut tracker = tracker(&QUERIES, &config, 90);
    let sample = |step, index| {
        let noise = if step % 2 == 0 { 1.0 } else { -1.0 };
        let value = if index == 0 || step > 30 { noise } else { 3.0 + noise };
        samples(Statistic::Progress, &[value]).next()
    };
    let events = events(&mut tracker, sample);
    assert_eq!(events, "13C0 26F0 45C1 90F1");
}

#[test]
fn its_table_is_read_and_its_problems_are_reported() {
    let policy = build("name = \"no-progress\"\nz = 2\nwindow = { share = 1 }").unwrap();
    assert_eq!(policy.statistics(), StatisticSet::of([Statistic::Progress]));
    assert_eq!(policy.default_cooldown(), Cooldown::Share { share: 1.0 });
    assert!(policy.is_scale_free());
    for z in ["-0.1", "nan", "inf", "\"one\""] {
        let text = problems(&format!("name = \"no-progress\"\nz = {z}"));
        assert_eq!(text, format!("policy.z: expected a number of at least 0, found {z}"));
    }
    assert_eq!(
        problems("name = \"no-progress\"\nwindow = 1"),
        "policy.window: expected at least 2: one value says nothing about its own error"
    );
    for window in ["{ share = 0.0 }", "{ share = 1.5 }", "{ checks = 3 }", "0.1"] {
        let text = problems(&format!("name = \"no-progress\"\nwindow = {window}"));
        let expected = "policy.window: expected a whole number of checks, at least 1, or { share = S } of the run's with S above 0, up to 1";
        assert!(text.starts_with(expected), "{text}");
    }
    let text = problems("name = \"no-progress\"\nfloor = 3");
    assert_eq!(text, "policy.floor: unknown key; known: z, window, hits");
}

#[test]
fn every_window_may_be_a_share_of_the_run() {
    for name in
        ["signal-fraction", "relative-to-peak", "two-batch", "quota", "plateau", "payoff", "bottom-up"]
    {
        build(&format!("name = \"{name}\"\nwindow = {{ share = 0.2 }}")).unwrap();
    }
    // A fifth of 100 checks: the average is ready at the twentieth.
    let mut policy = build("name = \"signal-fraction\"\nwindow = { share = 0.2 }\nhits = 1").unwrap();
    let decisions = observe(&mut *policy, samples(Statistic::SignalFraction, &[0.0; 21]));
    assert_eq!(word(&decisions), format!("{}FF", ".".repeat(19)));
}
