//! Contract 5: a gradient with a NaN or an infinity is reported and never freezes anything.

use grades::optim::InnerOptimizer;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_tests::{FreezeAt, ReportExt, Spec, TinyBert};
use tch::nn::VarStore;
use tch::no_grad;

const QUERY: &str = "encoder.layer.0.attention.self.query";
const VALUE: &str = "encoder.layer.1.attention.self.value";

/// One step on a batch, after the gradients of some components got one element that is not finite.
///
/// The parameters are set back first: they keep the NaN of the last update otherwise.
fn spoilt_step<O: InnerOptimizer>(
    model: &TinyBert,
    optimizer: &mut FreezingOptimizer<O>,
    spoil: &[(&str, f64)],
    clip: bool,
) -> grades::tracker::StepReport {
    model.copy_from(&TinyBert::new(Spec::default()));
    optimizer.zero_grad().unwrap();
    model.loss(1).backward();
    for (component, value) in spoil {
        let gradient = model.variable(&format!("{component}.weight")).grad();
        let _ = no_grad(|| gradient.get(2).get(3).fill_(*value));
    }
    if clip {
        optimizer.clip_grad_norm(0.1).unwrap();
    }
    optimizer.step().unwrap()
}

for_every_optimizer! {
    what_is_not_finite_is_reported_and_freezes_later;
    a_first_sample_that_is_not_finite_is_none;
    a_clip_by_norm_changes_nothing_about_it;
}

fn optimizer<O: InnerOptimizer>(
    model: &TinyBert,
    make: fn(&VarStore) -> O,
    from: u64,
) -> FreezingOptimizer<O> {
    let config = FreezingConfig::new(FreezeAt::new([("layer", from)]));
    FreezingOptimizer::new(make(&model.vs), &model.vs, &config, 20).unwrap()
}

fn what_is_not_finite_is_reported_and_freezes_later<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let model = TinyBert::new(Spec::default());
    let mut optimizer = optimizer(&model, make, 2);
    assert!(spoilt_step(&model, &mut optimizer, &[], false).non_finite().is_empty());

    let spoil = [(QUERY, f64::NAN), (VALUE, f64::INFINITY)];
    let report = spoilt_step(&model, &mut optimizer, &spoil, false);
    assert_eq!(report.non_finite(), [QUERY, VALUE]);
    assert_eq!((report.events.len(), report.frozen, report.should_stop), (10, 10, false));
    assert!(report.events.iter().all(|event| event.component != QUERY && event.component != VALUE));

    let report = spoilt_step(&model, &mut optimizer, &[(VALUE, f64::NEG_INFINITY)], false);
    assert_eq!(report.non_finite(), [VALUE]);
    let frozen: Vec<_> = report.events.iter().map(|event| event.component.as_str()).collect();
    assert_eq!(frozen, [QUERY]);
    let report = spoilt_step(&model, &mut optimizer, &[], false);
    assert!(report.should_stop && report.non_finite().is_empty());
}

fn a_first_sample_that_is_not_finite_is_none<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let model = TinyBert::new(Spec::default());
    let mut optimizer = optimizer(&model, make, 1);
    let report = spoilt_step(&model, &mut optimizer, &[(QUERY, f64::NAN)], false);
    assert_eq!((report.non_finite(), report.frozen), ([QUERY.to_owned()].as_slice(), 0));
    let report = spoilt_step(&model, &mut optimizer, &[], false);
    assert_eq!(report.frozen, 11);
    let report = spoilt_step(&model, &mut optimizer, &[], false);
    assert_eq!(report.events[0].component, QUERY);
    assert!(report.should_stop);
}

fn a_clip_by_norm_changes_nothing_about_it<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let model = TinyBert::new(Spec::default());
    let mut optimizer = optimizer(&model, make, 2);
    spoilt_step(&model, &mut optimizer, &[], true);
    let report = spoilt_step(&model, &mut optimizer, &[(QUERY, f64::NAN)], true);
    // The global norm is NaN; the samples of the others are not.
    assert!(report.grad_norm().is_some_and(f64::is_nan));
    assert_eq!((report.non_finite(), report.frozen), ([QUERY.to_owned()].as_slice(), 11));
}

#[test]
fn a_loss_that_is_nan_freezes_nothing() {
    let model = TinyBert::new(Spec::default());
    let mut optimizer = optimizer(&model, crate::optimizers::fused_sgd, 1);
    for _ in 0..5 {
        let report = optimizer.backward_step(&(model.loss(1) * f64::NAN)).unwrap();
        assert_eq!((report.non_finite().len(), report.frozen), (12, 0));
    }
}
