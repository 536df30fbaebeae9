//! `all-of` and `any-of`: agreement, and one being enough.

use grades::component::{Component, ComponentKind};
use grades::policy::Cooldown;
use grades::policy::{Cause, Decision, FreezePolicy, FrozenObservation};
use grades::statistic::{Statistic, StatisticSet};
use grades::{Error, FreezingConfig};
use grades_policies::{AllOf, AnyOf, FixedThreshold, Patience, RelativeToPeak, SignalFraction, Thaw};

use crate::support::{build, cause, decisions, letters, problems};

fn below(tau: f64) -> Box<dyn FreezePolicy> {
    Box::new(FixedThreshold::new(Statistic::GradL1, tau))
}

fn patient(hits: u64, tau: f64) -> Box<dyn FreezePolicy> {
    Box::new(Patience::new(hits, FixedThreshold::new(Statistic::GradL1, tau)))
}

#[test]
fn all_must_agree_at_one_check_and_one_of_any_is_enough() {
    let gradients = [3.0, 1.5, 0.5, 1.5, 1.5, 3.0, 0.5];
    let children = || vec![below(2.0), below(1.0)];
    assert_eq!(letters(&mut AllOf::new(children()), &gradients), "..F...F");
    assert_eq!(letters(&mut AnyOf::new(children()), &gradients), ".FFFF.F");
    // None at all.
    assert_eq!(letters(&mut AllOf::new(Vec::new()), &gradients), ".......");
    assert_eq!(letters(&mut AnyOf::new(Vec::new()), &gradients), ".......");
}

#[test]
fn the_cause_of_all_of_is_the_first_childs_and_of_any_of_that_of_the_first_that_says_so() {
    let threshold =
        |policy: &mut dyn FreezePolicy, gradient| cause(&decisions(policy, &[gradient])).threshold;
    assert_eq!(threshold(&mut AllOf::new(vec![below(2.0), below(1.0)]), 0.5), 2.0);
    assert_eq!(threshold(&mut AllOf::new(vec![below(1.0), below(2.0)]), 0.5), 1.0);
    assert_eq!(threshold(&mut AnyOf::new(vec![below(1.0), below(2.0), below(3.0)]), 1.5), 2.0);
    assert_eq!(threshold(&mut AnyOf::new(vec![below(3.0), below(2.0)]), 0.5), 3.0);
    let mut nested = AnyOf::new(vec![Box::new(AllOf::new(vec![below(1.0)])), patient(1, 4.0)]);
    let expected = Cause::new("fixed-threshold", Statistic::GradL1, 3.5, 4.0);
    assert_eq!(decisions(&mut nested, &[3.5]), [Decision::Freeze(expected)]);
}

#[test]
fn every_child_is_asked_at_every_check() {
    // The second one counts although the first one has already said yes, or no.
    let gradients = [1.5, 1.5, 1.5, 0.5];
    assert_eq!(letters(&mut AnyOf::new(vec![below(1.0), patient(3, 2.0)]), &gradients), "..FF");
    assert_eq!(letters(&mut AnyOf::new(vec![below(2.0), patient(3, 2.0)]), &gradients), "FFFF");
    assert_eq!(letters(&mut AllOf::new(vec![below(1.0), patient(4, 2.0)]), &gradients), "...F");
    assert_eq!(letters(&mut AllOf::new(vec![patient(2, 2.0), patient(3, 2.0)]), &gradients), "..FF");
    let mut any = AnyOf::new(vec![below(9.0), patient(3, 2.0)]);
    letters(&mut any, &gradients[..3]);
    assert_eq!(
        toml::to_string(&any.state().unwrap()).unwrap(),
        "[[policies]]\n\n[[policies]]\nseen = 3\n\n[policies.policy]\n"
    );
}

#[test]
fn they_are_what_their_children_are() {
    let fixed = || below(1.0);
    let peak = || -> Box<dyn FreezePolicy> { Box::new(RelativeToPeak::new(0.5, 2, 1)) };
    let noise = || -> Box<dyn FreezePolicy> { Box::new(SignalFraction::new(0.1, 2, 1)) };
    let thaw = || -> Box<dyn FreezePolicy> {
        Box::new(Thaw::new(3, 2, 0.0, FixedThreshold::new(Statistic::GradL1, 1.0)))
    };
    let share = Cooldown::Share { share: 1.0 };
    struct Case {
        children: Vec<Box<dyn FreezePolicy>>,
        scale_free: bool,
        thaws: bool,
        cooldown: Cooldown,
    }
    let cases = [
        Case { children: vec![fixed()], scale_free: false, thaws: false, cooldown: Cooldown::Steps(0) },
        Case { children: vec![peak(), noise()], scale_free: true, thaws: false, cooldown: share },
        Case { children: vec![noise(), peak()], scale_free: true, thaws: false, cooldown: share },
        Case {
            children: vec![peak(), fixed()],
            scale_free: false,
            thaws: false,
            cooldown: Cooldown::Steps(0),
        },
        Case { children: vec![peak(), thaw()], scale_free: false, thaws: true, cooldown: Cooldown::Steps(0) },
    ];
    for Case { children, scale_free, thaws, cooldown } in cases {
        let read = children.iter().fold(StatisticSet::default(), |set, child| set.union(child.statistics()));
        for policy in [&AllOf::new(children.clone()) as &dyn FreezePolicy, &AnyOf::new(children)] {
            assert_eq!(policy.statistics(), read, "{policy:?}");
            assert_eq!(policy.is_scale_free(), scale_free, "{policy:?}");
            assert_eq!(policy.thaws(), thaws, "{policy:?}");
            assert_eq!(policy.default_cooldown(), cooldown, "{policy:?}");
            // Patience, thaw and per-component-type pass it on as well.
        }
    }
    assert_eq!(Patience::new(2, SignalFraction::new(0.1, 2, 1)).default_cooldown(), share);
    assert_eq!(Thaw::new(2, 2, 0.0, SignalFraction::new(0.1, 2, 1)).default_cooldown(), share);
}

#[test]
fn a_composite_cools_as_the_child_that_cools_longest() {
    let cases = [
        (
            "name = \"all-of\"\npolicies = [{ name = \"relative-to-peak\" }, { name = \"signal-fraction\" }]",
            true,
        ),
        ("name = \"any-of\"\npolicies = [{ name = \"two-batch\" }, { name = \"plateau\" }]", true),
        ("name = \"any-of\"\npolicies = [{ name = \"plateau\" }, { name = \"quota\" }]", false),
        ("name = \"patience\"\npolicy = { name = \"signal-fraction\" }", true),
        ("name = \"thaw\"\npolicy = { name = \"signal-fraction\" }", true),
        ("name = \"per-component-type\"\nmlp = { name = \"quota\" }\nkey = { name = \"two-batch\" }", true),
        ("name = \"per-component-type\"\nmlp = { name = \"quota\" }", false),
    ];
    for (policy, cools) in cases {
        let config = FreezingConfig::from_toml(&format!("[freezing.policy]\n{policy}")).unwrap();
        assert_eq!(config.cools(), cools, "{policy}");
        let off =
            FreezingConfig::from_toml(&format!("[freezing]\ncooldown = 0\n[freezing.policy]\n{policy}"));
        assert!(!off.unwrap().cools(), "{policy}");
    }
}

#[test]
fn any_childs_timer_thaws_and_children_without_one_are_not_asked() {
    let component = Component::detached("layers.0.wq", ComponentKind::Query, Some(0), 1);
    let thaw = |period| -> Box<dyn FreezePolicy> {
        Box::new(Thaw::new(period, 2, 0.0, FixedThreshold::new(Statistic::GradL1, 1.0)))
    };
    for mut policy in [
        Box::new(AllOf::new(vec![below(1.0), thaw(5), thaw(3)])) as Box<dyn FreezePolicy>,
        Box::new(AnyOf::new(vec![below(1.0), thaw(5), thaw(3)])),
    ] {
        let thawed: Vec<bool> = (1..=3)
            .map(|step| {
                let answer = policy.decide_frozen(&FrozenObservation::new(&component, 0, step, 9));
                matches!(answer, Decision::Thaw(_))
            })
            .collect();
        assert_eq!(thawed, [false, false, true]);
    }
}

#[test]
fn a_state_of_another_number_of_children_is_refused_and_changes_nothing() {
    let mut two = AllOf::new(vec![patient(3, 1.0), patient(3, 1.0)]);
    letters(&mut two, &[0.5]);
    let before = two.state().unwrap();
    let error = two.restore(&AllOf::new(vec![patient(3, 1.0)]).state().unwrap()).unwrap_err();
    assert!(matches!(error, Error::State { .. }));
    assert_eq!(error.to_string(), "state of policy \"all-of\": 1 policies, expected 2");
    // The first child fits, the second does not.
    let error = two.restore(&AllOf::new(vec![patient(3, 1.0), below(1.0)]).state().unwrap()).unwrap_err();
    assert!(error.to_string().contains("seen"), "{error}");
    assert_eq!(two.state().unwrap(), before);
}

#[test]
fn their_tables_problems_are_reported_with_the_childs_place() {
    for name in ["all-of", "any-of"] {
        let text = problems(&format!("name = \"{name}\""));
        assert_eq!(text, "policy.policies: is missing; expected a list of tables");
        let text = problems(&format!("name = \"{name}\"\npolicies = []"));
        assert_eq!(text, "policy.policies: is empty; expected at least one policy's table");
        let text = problems(&format!("name = \"{name}\"\npolicies = {{ name = \"quota\" }}"));
        assert!(text.starts_with("policy.policies: expected a list of tables, found "), "{text}");
        let text = problems(&format!(
            "name = \"{name}\"\npolicy = 1\npolicies = [{{ name = \"quota\", max_share = 1.5 }}, {{ tau = 1 }}, \
             {{ name = \"all-of\", policies = [{{ name = \"plateau\", window = 2 }}] }}]"
        ));
        let keys: Vec<&str> =
            text.lines().skip(1).map(|line| line.trim().split(": ").next().unwrap()).collect();
        let expected = [
            "policy.policy",
            "policy.policies[0].max_share",
            "policy.policies[1].name",
            "policy.policies[2].policies[0].window",
        ];
        assert_eq!(keys, expected, "{text}");
        assert!(build(&format!("name = \"{name}\"\npolicies = [{{ name = \"quota\" }}]")).is_ok());
    }
}
