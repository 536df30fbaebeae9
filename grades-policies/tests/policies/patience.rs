//! `patience`: several times in a row.

use grades::FreezingConfig;
use grades::component::{ComponentConfig, ComponentMap, ParameterInfo};
use grades::policy::{Cause, Decision, FreezePolicy};
use grades::statistic::{ComponentSample, GradientSnapshot, Statistic, StatisticSet};
use grades::tracker::FreezeTracker;
use grades_policies::{FixedThreshold, Patience};
use proptest::prelude::*;

use crate::support::{build, decisions, letters, problems};

const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

fn below_1() -> FixedThreshold {
    FixedThreshold::new(Statistic::GradL1, 1.0)
}

#[test]
fn it_freezes_after_so_many_hits_in_a_row() {
    struct Case {
        hits: u64,
        /// The gradient of one number at each check.
        seen: &'static [f64],
        /// A letter for each check.
        gives: &'static str,
        why: &'static str,
    }
    let cases = [
        Case { hits: 1, seen: &[2.0, 0.5], gives: ".F", why: "one hit is the other policy itself" },
        Case { hits: 3, seen: &[0.5, 0.5, 0.5], gives: "..F", why: "the third in a row" },
        Case {
            hits: 3,
            seen: &[0.5, 0.5, 2.0, 0.5, 0.5, 0.5],
            gives: ".....F",
            why: "a loud one starts the count anew",
        },
        Case { hits: 3, seen: &[0.5, 0.5, 0.5, 0.5, 0.5], gives: "..FFF", why: "it goes on saying so" },
        Case {
            hits: 3,
            seen: &[0.5, 0.5, 0.5, 2.0, 0.5, 0.5, 0.5],
            gives: "..F...F",
            why: "until a loud one",
        },
        Case {
            hits: 3,
            seen: &[0.5, NAN, 0.5, INF, -INF, 0.5],
            gives: ".....F",
            why: "what is not finite neither counts nor resets",
        },
        Case {
            hits: 2,
            seen: &[NAN, NAN, NAN, 0.5, 0.5],
            gives: "....F",
            why: "nor does it before anything was seen",
        },
        Case {
            hits: 2,
            seen: &[0.5, 0.5, NAN],
            gives: ".F.",
            why: "nor does it freeze once patience is at its end",
        },
        Case { hits: 1000, seen: &[0.0; 20], gives: "....................", why: "it can take long" },
    ];
    for Case { hits, seen, gives, why } in cases {
        assert_eq!(letters(&mut Patience::new(hits, below_1()), seen), gives, "{why}");
    }
}

#[test]
fn patience_of_patience_waits_for_both() {
    let mut policy = Patience::new(2, Patience::new(2, below_1()));
    assert_eq!(letters(&mut policy, &[0.5, 0.5, 0.5, 2.0, 0.5, 0.5, 0.5]), "..F...F");
}

#[test]
fn the_cause_is_the_other_policys() {
    let cause = Cause::new("fixed-threshold", Statistic::GradL1, 0.25, 1.0);
    let decisions = decisions(&mut Patience::new(2, below_1()), &[0.5, 0.25]);
    assert_eq!(decisions, [Decision::Keep, Decision::Freeze(cause)]);
}

#[test]
fn it_needs_what_the_other_policy_needs() {
    for metric in Statistic::ALL {
        let policy = Patience::new(2, FixedThreshold::new(metric, 1.0));
        assert_eq!(policy.statistics(), StatisticSet::of([metric]));
        assert!(!policy.is_scale_free());
    }
}

#[test]
fn a_quiet_component_freezes_at_the_first_check_after_the_grace_period() {
    let document = "[freezing]\ngrace = 0.5\n[freezing.policy]\nname = \"patience\"\nhits = 3\n\
                    policy = { name = \"fixed-threshold\", tau = 1.0 }";
    let parameters = [0, 1]
        .map(|layer| ParameterInfo::new(format!("model.layers.{layer}.self_attn.q_proj.weight"), [2, 2]));
    let map = ComponentMap::new(&parameters, &ComponentConfig::default()).unwrap();
    let config = FreezingConfig::from_toml(document).unwrap();
    let mut tracker = FreezeTracker::new(map, &config, 20).unwrap();
    for step in 1..=20 {
        let sample = |value: f64| Some(ComponentSample::from_gradient(&[value]));
        // The second one is loud up to step 9, so that two of its hits fall into the grace period of 10 steps.
        let second = if step < 10 { 5.0 } else { 0.5 };
        tracker.check(&GradientSnapshot::new(step, vec![sample(0.5), sample(second)]));
    }
    assert_eq!((tracker.frozen_at(0), tracker.frozen_at(1)), (Some(11), Some(12)));
}

#[test]
fn its_table_is_read() {
    let child = "policy = { name = \"fixed-threshold\", tau = 1 }";
    let mut policy = build(&format!("name = \"patience\"\nhits = 2\n{child}")).unwrap();
    assert_eq!(letters(&mut *policy, &[0.5, 0.5]), ".F");
    let mut policy = build(&format!("name = \"patience\"\n{child}")).unwrap();
    assert_eq!(letters(&mut *policy, &[0.5; 6]), "....FF", "five hits unless told otherwise");
}

#[test]
fn its_tables_problems_are_reported_with_the_childs() {
    let text =
        problems("name = \"patience\"\nhits = 0\nhit = 1\npolicy = { name = \"fixed-threshold\", tau = -1 }");
    let expected = [
        "policy.hit: unknown key (did you mean \"hits\"?); known: hits, policy",
        "policy.hits: expected a whole number, at least 1, found 0",
        "policy.policy.tau: expected a number above 0, found -1",
    ];
    assert_eq!(text, format!("3 problems:\n  {}", expected.join("\n  ")));
    let text = problems("name = \"patience\"");
    assert!(text.starts_with("policy.policy: is missing; expected the table of a policy"), "{text}");
    let text = problems("name = \"patience\"\npolicy = { name = \"fixed-treshold\", tau = 1 }");
    assert!(
        text.contains("policy.policy.name: ") && text.contains("(did you mean \"fixed-threshold\"?)"),
        "{text}"
    );
}

#[test]
fn its_state_holds_the_count_and_the_other_policys_state() {
    let mut policy = Patience::new(3, Patience::new(2, below_1()));
    letters(&mut policy, &[0.5, 0.5]);
    let text = toml::to_string(&policy.state().unwrap()).unwrap();
    assert_eq!(text, "seen = 1\n\n[policy]\nseen = 2\n\n[policy.policy]\n");
}

proptest! {
    #[test]
    fn it_freezes_exactly_where_a_plain_count_does(
        hits in 1u64..6,
        gradients in prop::collection::vec(prop_oneof![Just(0.5), Just(2.0), Just(NAN)], 0..40),
    ) {
        let mut row = 0;
        let count = gradients.iter().map(|gradient| {
            row = if *gradient < 1.0 { row + 1 } else if gradient.is_finite() { 0 } else { row };
            if *gradient < 1.0 && row >= hits { 'F' } else { '.' }
        });
        let expected: String = count.collect();
        prop_assert_eq!(letters(&mut Patience::new(hits, below_1()), &gradients), expected);
    }
}
