//! Which policies a program has once it uses the crate.

use std::collections::BTreeSet;

use grades::{FreezingConfig, PolicyRegistry};
use toml::Table;

use crate::examples::EXAMPLES;

#[test]
fn these_policies_are_linked() {
    let names: Vec<_> = PolicyRegistry::linked().unwrap().names().collect();
    assert_eq!(names, ["fixed-threshold", "patience"]);
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
