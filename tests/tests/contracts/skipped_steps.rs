//! A step that is skipped leaves no trace but its number.

use grades::optim::InnerOptimizer;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_tests::{FreezeAt, Spec, TinyBert};
use tch::nn::VarStore;

for_every_optimizer! {
    a_skipped_step_changes_no_weight_and_no_moment;
}

/// The weights after six steps, the fourth of which is preceded by one with infinite gradients.
fn weights<O: InnerOptimizer>(make: fn(&VarStore) -> O, skips: bool) -> TinyBert {
    let model = TinyBert::new(Spec::default());
    let config = FreezingConfig::new(FreezeAt::new([("layer", 100)]));
    let mut optimizer = FreezingOptimizer::new(make(&model.vs), &model.vs, &config, 20).unwrap();
    for batch in 0..6 {
        if skips && batch == 3 {
            optimizer.zero_grad().unwrap();
            (model.loss(9) * f64::INFINITY).backward();
            assert!(!optimizer.clip_grad_norm(0.1).unwrap().is_finite());
            let report = optimizer.skip_step().unwrap();
            assert_eq!((report.applied, report.step, report.frozen), (false, 4, 0));
            assert_eq!(optimizer.steps(), 4);
        }
        optimizer.zero_grad().unwrap();
        model.loss(batch).backward();
        optimizer.clip_grad_norm(0.1).unwrap();
        assert!(optimizer.step().unwrap().applied);
    }
    assert_eq!(optimizer.steps(), if skips { 7 } else { 6 });
    model
}

fn a_skipped_step_changes_no_weight_and_no_moment<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let (plain, skipped) = (weights(make, false), weights(make, true));
    for (name, tensor) in plain.vs.variables() {
        assert!(tensor.equal(skipped.variable(&name)), "{name} differs");
    }
}
