//! The way of the README: one line links the policies, a table names one, a model trains until it should stop.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

use grades::policy::PolicyRegistry;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_policies as _;
use grades_tests::{Spec, TinyBert};
use tch::nn::{self, OptimizerConfig};

#[test]
fn a_use_line_links_the_policies() {
    let linked = PolicyRegistry::linked().unwrap();
    for name in ["fixed-threshold", "patience"] {
        let plugin = linked.get(name).unwrap_or_else(|| panic!("{name} is not linked"));
        assert!(plugin.type_name().starts_with("grades_policies::"), "{}", plugin.type_name());
    }
}

#[test]
fn a_configured_run_ends_by_itself() {
    let document = r#"
        [freezing]
        grace = 0.25
        stop_at = 0.5
        [freezing.policy]
        name = "patience"
        hits = 3
        policy = { name = "fixed-threshold", tau = 1e9 }
    "#;
    let model = TinyBert::new(Spec::default());
    let config = FreezingConfig::from_toml(document).unwrap();
    let inner = nn::AdamW::default().build(&model.vs, 1e-3).unwrap();
    let mut optimizer = FreezingOptimizer::new(inner, &model.vs, &config, 20).unwrap();
    let mut steps = 0;
    while !optimizer.should_stop() {
        steps += 1;
        assert!(steps <= 20, "it does not end");
        optimizer.backward_step(&model.loss(steps)).unwrap();
    }
    // Quiet from the start, so patience is at its end with the grace period of 5 steps.
    assert_eq!(steps, 6);
    assert!(optimizer.tracker().all_frozen());
}
