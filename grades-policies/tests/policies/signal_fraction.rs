//! `signal-fraction`: nothing but noise is left.

use grades::FreezingConfig;
use grades::component::{Component, ComponentKind};
use grades::policy::Cooldown;
use grades::policy::{FreezePolicy, Observation};
use grades::statistic::{ComponentSample, Statistic, StatisticSet};
use grades_policies::SignalFraction;

use crate::support::{assert_close, build, cause, events, observe, problems, samples, tracker, word};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

fn letters(policy: &mut dyn FreezePolicy, values: &[f64]) -> String {
    word(&observe(policy, samples(Statistic::SignalFraction, values)))
}

#[test]
fn it_freezes_at_the_floor() {
    struct Case {
        hits: u64,
        /// The signal fraction at each check, with a window of 1 and a floor of ¼.
        seen: &'static [f64],
        /// A letter for each check.
        gives: &'static str,
        why: &'static str,
    }
    let cases = [
        Case { hits: 1, seen: &[1.0, 0.5, 0.25], gives: "..F", why: "the floor itself is low enough" },
        Case { hits: 1, seen: &[0.5, 0.25 + 1e-9], gives: "..", why: "a little more is not" },
        Case { hits: 1, seen: &[0.5, 0.0, -0.5], gives: ".FF", why: "an estimate below 0 is no signal" },
        Case {
            hits: 1,
            seen: &[0.0],
            gives: "F",
            why: "a policy sees the first sample, too: the tracker leaves it out",
        },
        Case { hits: 3, seen: &[0.5, 0.0, 0.0, 0.0, 0.0], gives: "...FF", why: "three times in a row" },
        Case {
            hits: 3,
            seen: &[0.0, 0.0, 0.5, 0.0, 0.0, 0.0],
            gives: ".....F",
            why: "what is above starts the count anew",
        },
        Case {
            hits: 2,
            seen: &[0.0, NAN, INF, -INF, 0.0],
            gives: "....F",
            why: "what is not finite neither counts nor resets",
        },
        Case { hits: 1, seen: &[1.0; 5], gives: ".....", why: "all signal" },
    ];
    for Case { hits, seen, gives, why } in cases {
        assert_eq!(letters(&mut SignalFraction::new(0.25, 1, hits), seen), gives, "{why}");
    }
}

#[test]
fn the_average_waits_for_a_full_window() {
    // Gains of ½: weighted sums 1/2, 1/4, 1/8 and weights 1/2, 3/4, 7/8.
    let decisions =
        observe(&mut SignalFraction::new(0.25, 2, 1), samples(Statistic::SignalFraction, &[1.0, 0.0, 0.0]));
    assert_eq!(word(&decisions), "..F");
    let cause = cause(&decisions);
    assert_close(cause.value, 1.0 / 7.0);
    assert_eq!(
        (cause.threshold, &*cause.policy, cause.measure),
        (0.25, "signal-fraction", Statistic::SignalFraction.into())
    );
    assert_eq!(letters(&mut SignalFraction::new(0.25, 4, 1), &[0.0; 5]), "...FF");
    assert_eq!(letters(&mut SignalFraction::new(0.25, 4, 3), &[0.0; 8]), ".....FFF");
    // One high value among low ones is averaged away: 8 values of 0 and one of 1 in a window of 8.
    let values = [&[0.0; 12][..], &[1.0], &[0.0; 3]].concat();
    assert_eq!(letters(&mut SignalFraction::new(0.25, 8, 1), &values), ".......FFFFFFFFF");
}

#[test]
fn without_its_statistic_it_keeps_and_learns_nothing() {
    let mut policy = SignalFraction::new(0.25, 1, 1);
    let before = policy.state().unwrap();
    assert_eq!(
        word(&observe(&mut policy, [ComponentSample::from_gradient(&[0.0]), ComponentSample::new(1)])),
        ".."
    );
    assert_eq!(policy.state().unwrap(), before);
    assert_eq!(policy.statistics(), StatisticSet::of([Statistic::SignalFraction]));
}

#[test]
fn checks_at_which_the_learning_rate_has_risen_do_not_count() {
    let component = Component::detached("layers.0.wq", ComponentKind::Query, Some(0), 1);
    let letters = |rates: &[Option<f64>]| {
        let mut policy = SignalFraction::new(0.25, 1, 2);
        let ask = |rate: &Option<f64>| {
            let sample = ComponentSample::new(1).with(Statistic::SignalFraction, 0.0);
            policy.decide(&Observation::new(&component, &sample).with_learning_rate(*rate))
        };
        word(&rates.iter().map(ask).collect::<Vec<_>>())
    };
    // (learning rate at each check, all of them quiet, with two hits; decisions)
    let some = |rates: &[f64]| rates.iter().copied().map(Some).collect::<Vec<_>>();
    assert_eq!(letters(&some(&[0.1, 0.1, 0.1])), ".FF", "constant");
    assert_eq!(letters(&some(&[0.3, 0.2, 0.1])), ".FF", "falling");
    assert_eq!(
        letters(&some(&[0.1, 0.2, 0.3, 0.4, 0.4])),
        "....F",
        "a warm-up, of which the first check counts"
    );
    assert_eq!(letters(&some(&[0.0, 0.1, 0.1])), "..F", "from 0 on, too");
    assert_eq!(letters(&some(&[0.2, 0.1, 0.2, 0.1])), ".F.F", "a restart neither counts nor starts anew");
    assert_eq!(
        letters(&[None, None, Some(0.1), None, Some(0.2)]),
        ".FFFF",
        "where it is not known, all count"
    );
    assert_eq!(letters(&some(&[0.1, f64::NAN, 0.2, 0.1])), ".FFF", "nor does one that is no number matter");
}

#[test]
fn its_table_is_read_under_both_names() {
    for name in ["signal-fraction", "auto-threshold"] {
        let mut policy = build(&format!("name = \"{name}\"\nfloor = 0.5\nwindow = 2\nhits = 1")).unwrap();
        assert_eq!(policy.name(), "signal-fraction");
        assert_eq!(letters(&mut *policy, &[0.5, 0.5]), ".F");
        let mut policy = build(&format!("name = \"{name}\"")).unwrap();
        assert_eq!(letters(&mut *policy, &[0.005; 25]), format!("{}FF", ".".repeat(23)));
        assert_eq!(policy.default_cooldown(), Cooldown::Share { share: 1.0 });
        assert!(policy.is_scale_free());
    }
}

#[test]
fn its_tables_problems_are_reported_with_the_path() {
    for floor in ["-0.1", "1.5", "nan", "inf", "\"low\""] {
        let text = problems(&format!("name = \"auto-threshold\"\nfloor = {floor}"));
        assert!(text.starts_with("policy.floor: expected a share from 0 to 1, found "), "{text}");
    }
    let text = problems("name = \"auto-threshold\"\nflor = 0.1");
    assert_eq!(text, "policy.flor: unknown key (did you mean \"floor\"?); known: floor, window, hits");
    for floor in ["0", "1"] {
        build(&format!("name = \"signal-fraction\"\nfloor = {floor}")).unwrap();
    }
}

const QUERIES: [&str; 2] = ["layers.0.self_attn.q_proj", "layers.1.self_attn.q_proj"];

#[test]
fn it_is_what_a_configuration_without_a_policy_means_and_it_cools() {
    for document in ["[freezing]", "[freezing]\ngrace = 0.1", "[freezing.policy]\nname = \"auto-threshold\""]
    {
        let config = FreezingConfig::from_toml(document).unwrap();
        assert!(config.cools());
        let mut tracker = tracker(&QUERIES, &config, 100);
        assert_eq!(tracker.statistics(), StatisticSet::of([Statistic::SignalFraction]));
        assert!(tracker.cools());
        // A window of 20 checks and 5 hits: all noise is known at step 24, all signal at the deadline.
        let sample = |_, index| samples(Statistic::SignalFraction, &[[0.0, 1.0][index]]).next();
        assert_eq!(events(&mut tracker, sample), "24C0 48F0 50C1 100F1", "{document}");
    }
    let config = FreezingConfig::from_toml("[freezing]\ncooldown = 0").unwrap();
    assert!(!config.cools());
}

#[test]
fn a_window_that_is_longer_than_the_run_is_an_error_when_the_run_begins() {
    let error = |document: &str, total_steps: u64| {
        let config = FreezingConfig::from_toml(document).unwrap();
        let parameters =
            [grades::component::ParameterInfo::new("model.layers.0.self_attn.q_proj.weight", [1, 1])];
        let map = grades::component::ComponentMap::new(&parameters, &Default::default()).unwrap();
        grades::tracker::FreezeTracker::new(map, &config, total_steps)
            .map(drop)
            .map_err(|error| error.to_string())
    };
    let given = "[freezing.policy]\nname = \"signal-fraction\"\nwindow = 20";
    assert_eq!(
        error(given, 19),
        Err("freezing.policy.window: 20 checks are more than the 19 that the run has".to_owned())
    );
    assert_eq!(error(given, 20), Ok(()));
    // The default one is cut to the run.
    assert_eq!(error("[freezing]", 19), Ok(()));
    // A run that is checked now and then has fewer checks than steps.
    let sparse = format!("[freezing]\ncheck_every = 50\n{given}");
    let expected = "freezing.policy.window: 20 checks are more than the 10 that the run has";
    assert_eq!(error(&sparse, 500), Err(expected.to_owned()));
    assert_eq!(error("[freezing]\ncheck_every = 50", 500), Ok(()));
    let nested = "[freezing.policy]\nname = \"any-of\"\npolicies = [{ name = \"fixed-threshold\", tau = 1 }, \
                  { name = \"patience\", policy = { name = \"plateau\", window = 51 } }]";
    assert_eq!(
        error(nested, 50),
        Err("freezing.policy.policies[1].policy.window: 51 checks are more than the 50 that the run has"
            .to_owned())
    );
    assert_eq!(error(nested, 51), Ok(()));
    for name in ["relative-to-peak", "two-batch", "quota", "plateau"] {
        let document = format!("[freezing.policy]\nname = \"{name}\"\nwindow = 31");
        let expected = "freezing.policy.window: 31 checks are more than the 30 that the run has";
        assert_eq!(error(&document, 30), Err(expected.to_owned()), "{name}");
    }
}
