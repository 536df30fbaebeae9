//! Which policies a program has once it uses the crate.

use std::collections::BTreeSet;

use grades::FreezingConfig;
use grades::policy::PolicyRegistry;
use toml::Table;

use crate::examples::EXAMPLES;

#[test]
fn these_policies_are_linked() {
    let names: Vec<_> = PolicyRegistry::linked().unwrap().names().collect();
    let expected = [
        "all-of",
        "any-of",
        "auto-threshold", // signal-fraction's other name
        "bottom-up",
        "fixed-threshold",
        "no-progress",
        "patience",
        "payoff",
        "per-component-type",
        "plateau",
        "quota",
        "relative-to-peak",
        "signal-fraction",
        "thaw",
        "two-batch",
    ];
    assert_eq!(names, expected);
}

#[test]
fn every_linked_policy_has_an_example() {
    let linked: BTreeSet<String> = PolicyRegistry::linked().unwrap().names().map(str::to_owned).collect();
    let name = |example: &&str| example.parse::<Table>().unwrap()["name"].as_str().unwrap().to_owned();
    let examples: BTreeSet<String> = EXAMPLES.iter().map(name).collect();
    assert_eq!(examples, linked, "add a line to examples.rs");
}

#[test]
fn all_policies_are_of_this_crate_and_described() {
    for plugin in PolicyRegistry::linked().unwrap().plugins() {
        assert!(plugin.type_name().starts_with("grades_policies::"), "{}", plugin.type_name());
        assert!(!plugin.summary().is_empty(), "{}", plugin.name());
        assert!(plugin.keys().iter().all(|key| !key.help.is_empty()), "{}", plugin.name());
        assert!(plugin.keys().iter().all(|key| key.name != "name"), "{}: `name` is taken", plugin.name());
    }
}

#[test]
fn the_example_of_the_design_is_read() {
    let document = r#"
        [freezing]
        grace = 0.3
        [freezing.policy]
        name = "patience"
        hits = 5
        policy = { name = "fixed-threshold", metric = "grad-mean-abs", tau = 1e-5 }
    "#;
    FreezingConfig::from_toml(document).unwrap();
}

#[test]
fn a_slip_in_a_name_is_answered_with_the_nearest_and_all_names() {
    let document = "[freezing]\npolicy = { name = \"pacience\" }";
    let error = FreezingConfig::from_toml(document).unwrap_err().to_string();
    assert!(error.contains("(did you mean \"patience\"?)"), "{error}");
    for name in PolicyRegistry::linked().unwrap().names() {
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn a_second_name_is_suggested_and_listed_like_any_other() {
    let error = FreezingConfig::from_toml("[freezing]\npolicy = { name = \"auto-treshold\" }").unwrap_err();
    assert!(error.to_string().contains("(did you mean \"auto-threshold\"?)"), "{error}");
    let registry = PolicyRegistry::linked().unwrap();
    let plugin = registry.get("auto-threshold").unwrap();
    assert_eq!((plugin.name(), plugin.alias()), ("signal-fraction", Some("auto-threshold")));
    assert_eq!(registry.plugins().filter(|plugin| plugin.name() == "signal-fraction").count(), 1);
    assert!(registry.plugins().all(|plugin| plugin.name() != "auto-threshold"));
}

#[test]
fn the_default_policy_is_linked() {
    assert!(PolicyRegistry::linked().unwrap().get(FreezingConfig::DEFAULT_POLICY).is_some());
    FreezingConfig::from_toml("[freezing]").unwrap();
}
