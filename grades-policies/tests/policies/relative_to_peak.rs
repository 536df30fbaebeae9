//! `relative-to-peak`: down to a share of its largest.

use grades::policy::Cooldown;
use grades::policy::FreezePolicy;
use grades::statistic::{ComponentSample, Statistic, StatisticSet};
use grades_policies::RelativeToPeak;

use crate::support::{assert_close, build, cause, decisions, letters, observe, problems, samples, word};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

#[test]
fn it_freezes_at_a_share_of_the_peak() {
    struct Case {
        hits: u64,
        /// The gradient at each check, with a window of 1 and ρ = ½.
        seen: &'static [f64],
        /// A letter for each check.
        gives: &'static str,
        why: &'static str,
    }
    let cases = [
        Case { hits: 1, seen: &[4.0, 3.0, 2.5, 2.0], gives: "...F", why: "half of the peak is enough" },
        Case { hits: 1, seen: &[4.0, 3.0, 2.5, 2.0 + 1e-9], gives: "....", why: "a little more is not" },
        Case { hits: 1, seen: &[4.0], gives: ".", why: "the first is its own peak" },
        Case {
            hits: 1,
            seen: &[1.0, 2.0, 4.0, 8.0, 16.0],
            gives: ".....",
            why: "what rises does not freeze",
        },
        Case { hits: 1, seen: &[1.0, 8.0, 4.0, 3.0], gives: "..FF", why: "the peak is the largest so far" },
        Case { hits: 1, seen: &[4.0, 2.0, 8.0, 5.0, 4.0], gives: ".F..F", why: "a later one counts as well" },
        Case { hits: 2, seen: &[4.0, 2.0, 2.0, 2.0], gives: "..FF", why: "twice in a row" },
        Case {
            hits: 2,
            seen: &[4.0, 2.0, 2.5, 2.0, 1.0],
            gives: "....F",
            why: "what is above starts the count anew",
        },
        Case { hits: 2, seen: &[4.0, 2.0, 16.0, 8.0, 8.0], gives: "....F", why: "a new peak does so, too" },
        Case {
            hits: 2,
            seen: &[4.0, 1.0, NAN, INF, -INF, 1.0],
            gives: ".....F",
            why: "what is not finite neither counts nor resets",
        },
        Case { hits: 2, seen: &[INF, 4.0, 3.0, 3.0], gives: "....", why: "nor is it a peak" },
        Case {
            hits: 2,
            seen: &[0.0, 0.0, 0.0],
            gives: ".FF",
            why: "no gradient at all is at most half of none",
        },
    ];
    for Case { hits, seen, gives, why } in cases {
        assert_eq!(letters(&mut RelativeToPeak::new(0.5, 1, hits), seen), gives, "{why}");
    }
}

#[test]
fn a_noise_floor_above_the_share_keeps_it_from_freezing() {
    let gradients: Vec<f64> =
        (0..90).map(|step| if step < 5 { 3.0 } else { 1.0 + 0.1 * (step % 3) as f64 }).collect();
    assert!(!letters(&mut RelativeToPeak::new(0.3, 2, 1), &gradients).contains('F'));
    assert!(letters(&mut RelativeToPeak::new(0.5, 2, 1), &gradients).contains('F'));
}

#[test]
fn the_average_is_free_of_its_starts_bias_and_waits_for_a_full_window() {
    // Gains of ⅓: weighted sums 4/3, 20/9, 40/27, 80/81, 160/243 and weights 1/3, 5/9, 19/27, 65/81, 211/243.
    let mut policy = RelativeToPeak::new(0.5, 3, 1);
    let decisions = decisions(&mut policy, &[4.0, 4.0, 0.0, 0.0, 0.0]);
    assert_eq!(word(&decisions), "....F");
    let cause = cause(&decisions);
    assert_close(cause.value, 160.0 / 211.0);
    assert_close(cause.threshold, 0.5 * 40.0 / 19.0);
    assert_eq!((&*cause.policy, cause.measure), ("relative-to-peak", Statistic::GradMeanAbs.into()));
}

#[test]
fn without_its_statistic_it_keeps_and_learns_nothing() {
    let mut policy = RelativeToPeak::new(0.5, 1, 1);
    let before = policy.state().unwrap();
    let missing = [ComponentSample::new(4).with(Statistic::GradL1, 0.0), ComponentSample::new(4)];
    assert_eq!(word(&observe(&mut policy, missing)), "..");
    assert_eq!(policy.state().unwrap(), before);
    assert_eq!(policy.statistics(), StatisticSet::of([Statistic::GradMeanAbs]));
    // It is the mean that counts: the matrix's size does not.
    let mean = samples(Statistic::GradMeanAbs, &[4.0, 2.0]);
    assert_eq!(word(&observe(&mut policy, mean)), ".F");
}

#[test]
fn its_table_is_read() {
    let mut policy = build("name = \"relative-to-peak\"\nrho = 0.25\nwindow = 1\nhits = 1").unwrap();
    assert_eq!(letters(&mut *policy, &[4.0, 2.0, 1.0]), "..F");
    assert!(policy.is_scale_free());
    assert_eq!(policy.default_cooldown(), Cooldown::Steps(0));
    // Averages over 20 checks, 5 hits.
    let mut policy = build("name = \"relative-to-peak\"").unwrap();
    assert_eq!(letters(&mut *policy, &[0.0; 26]), format!("{}FFF", ".".repeat(23)));
}

#[test]
fn its_tables_problems_are_reported() {
    for rho in ["0", "1", "-0.5", "1.5", "nan", "\"half\""] {
        let text = problems(&format!("name = \"relative-to-peak\"\nrho = {rho}"));
        assert!(text.starts_with("policy.rho: expected a share between 0 and 1, found "), "{text}");
    }
    let text = problems("name = \"relative-to-peak\"\nrho = 2\nwindow = 0\nhits = 0\nwidow = 1");
    let expected = [
        "policy.widow: unknown key (did you mean \"window\"?); known: rho, window, hits",
        "policy.rho: expected a share between 0 and 1, found 2",
        "policy.window: expected a whole number, at least 1, found 0",
        "policy.hits: expected a whole number, at least 1, found 0",
    ];
    assert_eq!(text, format!("4 problems:\n  {}", expected.join("\n  ")));
}
