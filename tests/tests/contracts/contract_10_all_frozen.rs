//! Contract 10: all frozen is a normal end.

use std::sync::{Arc, Mutex};

use grades::component::{ComponentConfig, ComponentKind};
use grades::optim::InnerOptimizer;
use grades::tracker::StepReport;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_tests::{FreezeAt, ReportExt, Spec, TinyBert, snapshot};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor, nn};

for_every_optimizer! {
    once_all_are_frozen_every_call_is_a_harmless_no_op;
    a_model_of_nothing_but_components_ends_without_an_error;
    stop_at_ends_a_run_early_and_a_caller_may_go_on;
}

fn frozen_at_2<O: InnerOptimizer>(model: &TinyBert, make: fn(&VarStore) -> O) -> FreezingOptimizer<O> {
    let config = FreezingConfig::new(FreezeAt::new([("layer", 2)]));
    let mut optimizer = FreezingOptimizer::new(make(&model.vs), &model.vs, &config, 20).unwrap();
    assert!(!optimizer.backward_step(&model.loss(1)).unwrap().should_stop);
    assert!(!optimizer.should_stop());
    let report = optimizer.backward_step(&model.loss(2)).unwrap();
    assert!(report.should_stop && report.applied && report.frozen == report.total);
    assert!(optimizer.should_stop());
    optimizer
}

fn once_all_are_frozen_every_call_is_a_harmless_no_op<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let model = TinyBert::new(Spec::default());
    let mut optimizer = frozen_at_2(&model, make);
    let then = snapshot(&model.vs);
    let nothing = |report: StepReport| {
        assert!(
            !report.applied
                && report.should_stop
                && report.events.is_empty()
                && report.non_finite().is_empty()
        );
        assert_eq!((report.step, report.frozen, report.total), (2, 12, 12));
    };
    let constant = Tensor::from(1.0f32);
    for batch in 3..=5 {
        nothing(optimizer.step().unwrap());
        nothing(optimizer.backward_step(&model.loss(batch)).unwrap());
        nothing(optimizer.backward_step_clip(&model.loss(batch), 0.1).unwrap());
        nothing(optimizer.backward_step_clip_norm(&model.loss(batch), 0.1).unwrap());
        nothing(optimizer.backward_step(&constant).unwrap());
        nothing(optimizer.backward_step_clip(&constant, 0.1).unwrap());
        nothing(optimizer.backward_step_clip_norm(&constant, 0.1).unwrap());
        optimizer.zero_grad().unwrap();
        assert_eq!(optimizer.clip_grad_norm(0.1).unwrap(), 0.0);
        optimizer.clip_grad_value(0.1).unwrap();
        // A caller's own loop: norms, biases, embeddings and the head still have gradients.
        model.loss(batch).backward();
        optimizer.clip_grad_norm(0.1).unwrap();
        nothing(optimizer.step().unwrap());
        optimizer.set_lr(0.1).unwrap();
        optimizer.set_weight_decay(0.1).unwrap();
        assert_eq!(snapshot(&model.vs), then, "nothing moves, outside of components neither");
    }
    assert_eq!(optimizer.steps(), 2);
    assert!(model.vs.variables_.lock().is_ok(), "the store's lock is as it should be");
    assert_eq!(model.vs.trainable_variables().len(), model.variables().count());
}

fn a_model_of_nothing_but_components_ends_without_an_error<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let vs = nn::VarStore::new(Device::Cpu);
    let weights = ["a", "b"].map(|name| vs.root().var(name, &[3], nn::Init::Const(0.5)));
    let components = ComponentConfig::default().with_pattern("a|b", ComponentKind::Up).unwrap();
    let config = FreezingConfig::new(FreezeAt::new([("a", 2), ("b", 3)])).with_components(components);
    let mut optimizer = FreezingOptimizer::new(make(&vs), &vs, &config, 20).unwrap();
    for step in 1..=8 {
        // From step 4 on the loss depends on nothing that trains.
        let loss = (&weights[0] * &weights[1]).sum(Kind::Float);
        assert_eq!(loss.requires_grad(), step <= 3);
        let report = optimizer.backward_step_clip_norm(&loss, 0.1).unwrap();
        assert_eq!((report.applied, report.should_stop), (step <= 3, step >= 3), "step {step}");
    }
    assert!(vs.variables_.lock().is_ok());
}

fn stop_at_ends_a_run_early_and_a_caller_may_go_on<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let model = TinyBert::new(Spec::default());
    let config = FreezingConfig::new(FreezeAt::new([("layer.0", 2), ("layer.1", 4)])).with_stop_at(0.5);
    let mut optimizer = FreezingOptimizer::new(make(&model.vs), &model.vs, &config, 20).unwrap();
    let stops: Vec<bool> =
        (1..=4).map(|batch| optimizer.backward_step(&model.loss(batch)).unwrap().should_stop).collect();
    assert_eq!(stops, [false, true, true, true]);
    assert_eq!(optimizer.tracker().frozen(), 12);
}

#[test]
fn observers_hear_of_the_end_once() {
    let model = TinyBert::new(Spec::default());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&seen);
    let config = FreezingConfig::new(FreezeAt::new([("layer", 2)]));
    let mut optimizer =
        FreezingOptimizer::new(crate::optimizers::fused_sgd(&model.vs), &model.vs, &config, 20)
            .unwrap()
            .with_observer(move |report: &StepReport| {
                writer.lock().unwrap().push((report.step, report.should_stop));
                Ok(())
            });
    for batch in 1..=5 {
        optimizer.backward_step(&model.loss(batch)).unwrap();
    }
    assert_eq!(*seen.lock().unwrap(), [(1, false), (2, true)]);
}
