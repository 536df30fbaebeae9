//! Contract 8: the same run freezes the same components at the same steps, in whatever order names come.

use grades::optim::InnerOptimizer;
use grades::tracker::FreezeEvent;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_policies as _;
use grades_tests::{Snapshot, Spec, TinyBert, snapshot};
use tch::nn::VarStore;

const CONFIG: &str = r#"
    [freezing]
    grace = 0.1
    [freezing.policy]
    name = "patience"
    hits = 2
    policy = { name = "fixed-threshold", metric = "grad-rms", tau = 0.0035 }
"#;

fn run<O: InnerOptimizer>(make: fn(&VarStore) -> O, reversed: bool) -> (Vec<FreezeEvent>, Snapshot) {
    let model = TinyBert::new(Spec { reversed, ..Spec::default() });
    let config = FreezingConfig::from_toml(CONFIG).unwrap();
    let mut optimizer = FreezingOptimizer::new(make(&model.vs), &model.vs, &config, 60).unwrap();
    let mut events = Vec::new();
    for step in 1..=60 {
        events.extend(optimizer.backward_step(&model.loss(step % 3)).unwrap().events);
    }
    (events, snapshot(&model.vs))
}

for_every_optimizer! {
    the_same_run_gives_the_same_freezes;
    the_order_in_which_variables_are_made_does_not_matter;
}

fn the_same_run_gives_the_same_freezes<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let first = run(make, false);
    let steps: std::collections::BTreeSet<u64> = first.0.iter().map(|event| event.step).collect();
    assert!(steps.len() > 1, "the freezes should be spread over the run: {steps:?}");
    assert!(steps.first() > Some(&6), "none in the grace period: {steps:?}");
    assert_eq!(run(make, false), first);
}

fn the_order_in_which_variables_are_made_does_not_matter<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    // Equal to the bit: the values in the events, and all parameters at the end.
    assert_eq!(run(make, true), run(make, false));
}
