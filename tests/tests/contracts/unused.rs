//! Components that a loss does not use: they have no gradient, and so no sample.

use grades::component::{ComponentConfig, ComponentKind};
use grades::optim::InnerOptimizer;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_tests::{FreezeAt, ReportExt, Spec, TinyBert, bits, snapshot};
use tch::nn::VarStore;

for_every_optimizer! {
    a_component_without_a_gradient_is_not_asked_about_and_does_not_move;
}

fn a_component_without_a_gradient_is_not_asked_about_and_does_not_move<O: InnerOptimizer>(
    make: fn(&VarStore) -> O,
) {
    let model = TinyBert::new(Spec { layers: 3, used: 2, ..Spec::default() });
    let start = snapshot(&model.vs);
    let policy = FreezeAt::new([("layer", 3)]);
    let config = FreezingConfig::new(policy.clone());
    let mut optimizer = FreezingOptimizer::new(make(&model.vs), &model.vs, &config, 20).unwrap();
    assert_eq!(optimizer.components().len(), 18);
    for step in 1..=5 {
        let report = optimizer.backward_step_clip_norm(&model.loss(step), 0.1).unwrap();
        let snapshot = report.snapshot().unwrap();
        assert!(snapshot.samples()[12..].iter().all(Option::is_none), "step {step}");
        assert!(report.non_finite().is_empty());
        let frozen = if step >= 3 { 12 } else { 0 };
        assert_eq!((report.frozen, report.should_stop), (frozen, false), "step {step}");
    }
    assert!(policy.take_asked().iter().all(|(name, ..)| !name.contains("layer.2")));
    for (name, variable) in model.variables().filter(|(name, _)| name.contains("layer.2")) {
        assert_eq!(bits(variable), start[name], "{name}");
    }
}

/// As with LoRA, where nothing but adapters trains, one of which no batch uses.
#[test]
fn a_run_goes_on_without_an_error_when_all_but_an_unused_component_is_frozen() {
    let vs = VarStore::new(tch::Device::Cpu);
    let used = vs.root().var("used", &[3], tch::nn::Init::Const(0.5));
    let _unused = vs.root().var("unused", &[3], tch::nn::Init::Const(0.5));
    let components = ComponentConfig::default().with_pattern("used|unused", ComponentKind::Up).unwrap();
    let config = FreezingConfig::new(FreezeAt::new([("used", 2)])).with_components(components);
    let mut optimizer =
        FreezingOptimizer::new(crate::optimizers::fused_adamw(&vs), &vs, &config, 20).unwrap();
    for step in 1..=5 {
        // From step 3 on the loss depends on nothing that trains.
        let report = optimizer.backward_step(&(&used * &used).sum(tch::Kind::Float)).unwrap();
        assert_eq!((report.frozen, report.should_stop), (usize::from(step >= 2), false), "step {step}");
    }
}
