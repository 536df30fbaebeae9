//! A policy of another crate: one line links it, and configurations name it as they name ours.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

use grades::optim::AdamConfig;
use grades::policy::PolicyRegistry;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_policies as _;
use grades_tests::{Spec, TinyBert};
use grades_third_party as _;

#[test]
fn it_is_listed_among_the_others_with_its_crate() {
    let linked = PolicyRegistry::linked().unwrap();
    let names: Vec<_> = linked.names().collect();
    assert!(
        names.is_sorted() && names.contains(&"falling") && names.contains(&"signal-fraction"),
        "{names:?}"
    );
    let plugin = linked.get("falling").unwrap();
    assert_eq!(plugin.type_name(), "grades_third_party::Falling");
    assert_eq!(plugin.keys()[0].name, "checks");
}

/// The steps at which components freeze under a policy, on a model that learns one batch by heart.
fn freezes(policy: &str) -> Vec<u64> {
    // Threads of several tests would wait for each other longer than these small matrices take.
    tch::set_num_threads(1);
    let model = TinyBert::new(Spec::default());
    let config = FreezingConfig::from_toml(&format!("[freezing]\ngrace = 0.1\npolicy = {policy}\n")).unwrap();
    let inner = AdamConfig::adamw().build(&model.vs, 3e-3).unwrap();
    let mut optimizer = FreezingOptimizer::new(inner, &model.vs, &config, 60).unwrap();
    let mut steps = Vec::new();
    while !optimizer.should_stop() && optimizer.steps() < 60 {
        let report = optimizer.backward_step(&model.loss(1)).unwrap();
        for event in report.events {
            assert_eq!((&*event.policy, event.statistic.name()), ("falling", "grad-rms"));
            assert!(event.value < event.threshold);
            steps.push(event.step);
        }
    }
    steps
}

#[test]
fn a_configuration_names_it() {
    let steps = freezes("{ name = \"falling\", checks = 8 }");
    assert!(!steps.is_empty() && steps[0] > 8, "{steps:?}");
}

#[test]
fn it_works_inside_ours() {
    let alone = freezes("{ name = \"falling\", checks = 8 }");
    let inside = freezes("{ name = \"patience\", hits = 3, policy = { name = \"falling\", checks = 6 } }");
    assert_eq!(inside, alone, "three answers in a row after six falls are eight falls");
    let any = "{ name = \"any-of\", policies = [{ name = \"falling\", checks = 8 }, { name = \"fixed-threshold\", tau = 1e-30 }] }";
    assert_eq!(freezes(any), alone);
}

#[test]
fn its_keys_are_checked_as_ours_are() {
    let error = |policy: &str| {
        FreezingConfig::from_toml(&format!("[freezing]\npolicy = {policy}\n")).unwrap_err().to_string()
    };
    assert_eq!(
        error("{ name = \"falling\", cheks = 2 }"),
        "freezing.policy.cheks: unknown key (did you mean \"checks\"?); known: checks"
    );
    assert_eq!(
        error("{ name = \"patience\", policy = { name = \"falling\", checks = 0 } }"),
        "freezing.policy.policy.checks: expected a whole number, at least 1, found 0"
    );
    assert!(error("{ name = \"fallign\" }").contains("(did you mean \"falling\"?)"));
}
