//! `two-batch`: noise drowns the signal.

use grades::policy::Cooldown;
use grades::policy::FreezePolicy;
use grades::statistic::{ComponentSample, Statistic, StatisticSet};
use grades_policies::TwoBatchNoise;

use crate::support::{assert_close, build, cause, observe, problems, word};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

fn samples(values: &[(f64, f64)]) -> impl Iterator<Item = ComponentSample> {
    values.iter().map(|(signal, noise)| {
        let sample = ComponentSample::new(1).with(Statistic::TwoBatchSignal, *signal);
        sample.with(Statistic::TwoBatchNoise, *noise)
    })
}

fn letters(policy: &mut dyn FreezePolicy, values: &[(f64, f64)]) -> String {
    word(&observe(policy, samples(values)))
}

#[test]
fn it_freezes_when_the_share_of_signal_is_at_the_floor() {
    struct Case {
        hits: u64,
        /// Signal and noise at each check, with a window of 1 and a floor of ¼.
        seen: &'static [(f64, f64)],
        /// A letter for each check.
        gives: &'static str,
        why: &'static str,
    }
    let cases = [
        Case { hits: 1, seen: &[(1.0, 3.0)], gives: "F", why: "a quarter is low enough" },
        Case { hits: 1, seen: &[(1.0, 2.99)], gives: ".", why: "a little more is not" },
        Case {
            hits: 1,
            seen: &[(-1.0, 3.0), (0.0, 3.0)],
            gives: "FF",
            why: "an estimate below 0 is no signal",
        },
        Case {
            hits: 1,
            seen: &[(1.0, -3.0), (1.0, 0.0)],
            gives: "..",
            why: "nor is one of the noise below 0 noise",
        },
        Case {
            hits: 1,
            seen: &[(0.0, 0.0), (-1.0, -1.0), (-1.0, 0.0)],
            gives: "...",
            why: "neither tells nothing",
        },
        Case {
            hits: 2,
            seen: &[(0.0, 1.0), (1.0, 1.0), (0.0, 1.0), (0.0, 1.0)],
            gives: "...F",
            why: "in a row",
        },
        Case {
            hits: 2,
            seen: &[(0.0, 1.0), (0.0, 0.0), (0.0, 1.0)],
            gives: "..F",
            why: "what tells nothing does not start anew",
        },
        Case {
            hits: 2,
            seen: &[(0.0, 1.0), (NAN, 1.0), (0.0, INF), (0.0, 1.0)],
            gives: "...F",
            why: "nor what is not finite",
        },
        Case {
            hits: 1,
            seen: &[(1e-30, 3e-30), (1e30, 3e30)],
            gives: "FF",
            why: "the scale does not matter",
        },
        Case { hits: 1, seen: &[(5.0, 1.0); 4], gives: "....", why: "mostly signal" },
    ];
    for Case { hits, seen, gives, why } in cases {
        assert_eq!(letters(&mut TwoBatchNoise::new(0.25, 1, hits), seen), gives, "{why}");
    }
}

#[test]
fn signal_and_noise_are_averaged_apart() {
    // Gains of ½: signal (3/2)/2 = 3/4, noise (1/2)/2 + 8/2 = 17/4, over one weight: 3/20. The mean of the shares
    // 3/4 and 0 would be 1/4.
    let decisions = observe(&mut TwoBatchNoise::new(0.2, 2, 1), samples(&[(3.0, 1.0), (0.0, 8.0)]));
    assert_eq!(word(&decisions), ".F");
    let cause = cause(&decisions);
    assert_close(cause.value, 0.15);
    assert_eq!(
        (cause.threshold, &*cause.policy, cause.measure),
        (0.2, "two-batch", Statistic::TwoBatchSignal.into())
    );
    // A signal below 0 at one check is made up for by another: 4 and −4 average to −4/3 ÷ …, 4 and −1 do not.
    assert_eq!(letters(&mut TwoBatchNoise::new(0.2, 2, 1), &[(4.0, 1.0), (-4.0, 1.0)]), ".F");
    assert_eq!(letters(&mut TwoBatchNoise::new(0.2, 2, 1), &[(4.0, 1.0), (-1.0, 1.0)]), "..");
}

#[test]
fn it_waits_for_a_full_window_and_needs_both_statistics() {
    assert_eq!(letters(&mut TwoBatchNoise::new(0.2, 3, 2), &[(0.0, 1.0); 5]), "...FF");
    let mut policy = TwoBatchNoise::new(0.2, 1, 1);
    let before = policy.state().unwrap();
    let missing = [
        ComponentSample::new(1).with(Statistic::TwoBatchSignal, 0.0),
        ComponentSample::new(1).with(Statistic::TwoBatchNoise, 1.0),
        ComponentSample::from_gradient(&[0.0]),
    ];
    assert_eq!(word(&observe(&mut policy, missing)), "...");
    assert_eq!(policy.state().unwrap(), before, "one without the other is not averaged");
    let both = StatisticSet::of([Statistic::TwoBatchSignal, Statistic::TwoBatchNoise]);
    assert_eq!(policy.statistics(), both);
}

#[test]
fn its_table_is_read_and_its_problems_are_reported() {
    let mut policy = build("name = \"two-batch\"").unwrap();
    let values = vec![(0.04, 0.96); 25];
    assert_eq!(letters(&mut *policy, &values), format!("{}FF", ".".repeat(23)));
    assert_eq!(policy.default_cooldown(), Cooldown::Share { share: 1.0 });
    assert!(policy.is_scale_free());
    let text = problems("name = \"two-batch\"\nfloor = 1.1\nwindow = -1\nhits = 1.0\nbatch = 2");
    let expected = [
        "policy.batch: unknown key; known: floor, window, hits",
        "policy.floor: expected a share from 0 to 1, found 1.1",
        "policy.window: expected a whole number, at least 1, found -1",
        "policy.hits: expected a whole number, at least 1, found 1.0",
    ];
    assert_eq!(text, format!("4 problems:\n  {}", expected.join("\n  ")));
}
