//! `plateau`: fallen, and flat.

use grades::policy::Cooldown;
use grades::policy::FreezePolicy;
use grades::statistic::{ComponentSample, Statistic, StatisticSet};
use grades_policies::Plateau;

use crate::support::{assert_close, build, cause, decisions, letters, observe, problems, word};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

/// ρ = ½, a slope of 0.1 a check, a window of 3.
fn plateau(hits: u64) -> Plateau {
    Plateau::new(0.5, 0.1, 3, hits)
}

#[test]
fn it_freezes_when_the_gradient_has_fallen_and_is_flat() {
    let falling: Vec<f64> = (0..60).map(|step| 0.8f64.powi(step)).collect();
    let creeping: Vec<f64> = (0..60).map(|step| 0.95f64.powi(step)).collect();
    struct Case<'a> {
        hits: u64,
        /// The gradient of one number at each check.
        seen: &'a [f64],
        /// A letter for each check.
        gives: &'a str,
        why: &'static str,
    }
    let cases = [
        Case { hits: 1, seen: &[1.0; 8], gives: "........", why: "flat, but as high as ever" },
        Case {
            hits: 1,
            seen: &[1.0, 1.0, 1.0, 0.3, 0.3, 0.3, 0.3],
            gives: ".....FF",
            why: "fallen, and flat once the window is beyond the fall",
        },
        Case {
            hits: 1,
            seen: &[1.0, 1.0, 1.0, 0.51, 0.51, 0.51],
            gives: "......",
            why: "not fallen far enough",
        },
        Case { hits: 1, seen: &[1.0, 1.0, 1.0, 0.49, 0.49, 0.49], gives: ".....F", why: "just far enough" },
        Case { hits: 1, seen: &falling, gives: &".".repeat(60), why: "falling, not flat" },
        Case { hits: 1, seen: &creeping, gives: &".".repeat(60), why: "falling slowly, but beyond doubt" },
        Case { hits: 2, seen: &[1.0, 1.0, 1.0, 0.3, 0.3, 0.3, 0.3], gives: "......F", why: "twice in a row" },
        Case {
            hits: 2,
            seen: &[1.0, 1.0, 1.0, 0.3, 0.3, 0.3, 0.1, 0.1, 0.1, 0.1],
            gives: ".........F",
            why: "a fall starts the count anew",
        },
        Case { hits: 1, seen: &[0.3, 0.3], gives: "..", why: "the window is not full" },
        Case {
            hits: 1,
            seen: &[1.0, 1.0, 1.0, NAN, 0.3, INF, 0.3, 0.0, 0.3],
            gives: "........F",
            why: "zeros and what is not finite are skipped",
        },
        Case {
            hits: 1,
            seen: &[0.1, 0.1, 0.1, 1.0, 1.0, 1.0, 0.3, 0.3, 0.3],
            gives: "........F",
            why: "the peak is the largest so far",
        },
    ];
    for Case { hits, seen, gives, why } in cases {
        assert_eq!(letters(&mut plateau(hits), seen), gives, "{why}");
    }
}

#[test]
fn a_slope_within_two_standard_errors_is_flat() {
    // ln E = 0, then −3 and −3 ± 0.2 alternating: slopes over 5 checks are 0, but for the residuals.
    let noisy = |index: usize| (-3.0 + if index.is_multiple_of(2) { 0.2f64 } else { -0.2 }).exp();
    let gradients: Vec<f64> = (0..20).map(|index| if index < 5 { 1.0 } else { noisy(index) }).collect();
    let found = letters(&mut Plateau::new(0.5, 0.1, 5, 1), &gradients);
    assert_eq!(found, format!("{}{}", ".".repeat(9), "F".repeat(11)));
    // A smaller ± slope than the alternation makes in a window of 4: ±0.4·(3 − 1)/10 = 0.08 in turn.
    let narrow = letters(&mut Plateau::new(0.5, 0.05, 4, 1), &gradients);
    assert!(!narrow[9..].contains('F'), "{narrow}");
    let wide = letters(&mut Plateau::new(0.5, 0.09, 4, 1), &gradients);
    assert!(wide[9..].chars().all(|letter| letter == 'F'), "{wide}");
}

#[test]
fn the_cause_is_the_geometric_mean_and_the_share_of_its_peak() {
    // Window means: (8·2·4)^⅓ = 4 at first, then 1 at the end.
    let decisions = decisions(&mut plateau(1), &[8.0, 2.0, 4.0, 1.0, 1.0, 1.0]);
    assert_eq!(word(&decisions), ".....F");
    let cause = cause(&decisions);
    assert_close(cause.value, 1.0);
    assert_close(cause.threshold, 2.0);
    assert_eq!((&*cause.policy, cause.measure), ("plateau", Statistic::GradMeanAbs.into()));
}

#[test]
fn flat_but_high_is_no_hit() {
    // Means of ln E over three: ⅔·ln 4 at the peak, ⅓·ln 4 between; slopes of 0 at every check.
    let gradients = [4.0, 1.0, 4.0, 1.0, 4.0, 1.0];
    assert_eq!(letters(&mut Plateau::new(0.9, 0.1, 3, 1), &gradients), "...F.F");
    assert_eq!(letters(&mut Plateau::new(0.9, 0.1, 3, 2), &gradients), "......");
}

#[test]
fn one_spike_is_no_peak_of_its_own() {
    // Means of three: 1, then 1.5^⅓ = 1.14 with the spike; 0.6 is above half of it.
    let gradients = [1.0, 1.0, 1.0, 1.5, 1.0, 1.0, 1.0, 0.6, 0.6, 0.6];
    assert_eq!(letters(&mut plateau(1), &gradients), "..........");
}

#[test]
fn without_its_statistic_it_keeps_and_learns_nothing() {
    let mut policy = plateau(1);
    let before = policy.state().unwrap();
    let missing = [ComponentSample::new(4).with(Statistic::GradL1, 0.1), ComponentSample::new(4)];
    assert_eq!(word(&observe(&mut policy, missing)), "..");
    letters(&mut policy, &[0.0, NAN]);
    assert_eq!(policy.state().unwrap(), before);
    assert_eq!(policy.statistics(), StatisticSet::of([Statistic::GradMeanAbs]));
}

#[test]
fn its_table_is_read_and_its_problems_are_reported() {
    let mut policy = build("name = \"plateau\"").unwrap();
    let gradients = [vec![1.0; 20], vec![0.6; 25]].concat();
    // ρ = 0.7: flat once the window of 20 is beyond the fall, then 5 hits.
    assert_eq!(letters(&mut *policy, &gradients), format!("{}FF", ".".repeat(43)));
    assert!(policy.is_scale_free());
    assert_eq!(policy.default_cooldown(), Cooldown::Steps(0));

    let text = problems("name = \"plateau\"\nrho = 1\nslope = 0\nwindow = 0\nhits = 0");
    let expected = [
        "policy.rho: expected a share between 0 and 1, found 1",
        "policy.slope: expected a number above 0, found 0",
        "policy.window: expected a whole number, at least 1, found 0",
        "policy.hits: expected a whole number, at least 1, found 0",
    ];
    assert_eq!(text, format!("4 problems:\n  {}", expected.join("\n  ")));
    for window in ["1", "2"] {
        let text = problems(&format!("name = \"plateau\"\nwindow = {window}\nhits = 0"));
        let expected = "policy.window: expected at least 3: a line through two points has no error";
        assert!(text.contains(expected) && text.contains("policy.hits: "), "all at once: {text}");
    }
}
