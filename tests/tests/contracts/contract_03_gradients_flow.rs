//! Contract 3: the gradients of what is active are, to rounding, as if nothing were frozen.

use grades::config::Followers;
use grades::optim::InnerOptimizer;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_tests::{FreezeAt, Spec, TinyBert, assert_close};
use tch::nn::VarStore;

for_every_optimizer! {
    gradients_of_active_parameters_are_those_of_a_model_without_freezes;
}

fn gradients_of_active_parameters_are_those_of_a_model_without_freezes<O: InnerOptimizer>(
    make: fn(&VarStore) -> O,
) {
    // The lower block, the upper block, single matrices of both.
    let cases = [
        FreezeAt::new([("layer.0", 2)]),
        FreezeAt::new([("layer.1", 2)]),
        FreezeAt::new([("self.key", 2), ("intermediate", 2), ("layer.0.output", 2)]),
    ];
    for policy in cases {
        let model = TinyBert::new(Spec::default());
        let twin = TinyBert::new(Spec::default());
        let config = FreezingConfig::new(policy.clone()).with_followers(Followers::Keep);
        let mut optimizer = FreezingOptimizer::new(make(&model.vs), &model.vs, &config, 20).unwrap();
        for batch in 1..=6 {
            twin.copy_from(&model);
            optimizer.zero_grad().unwrap();
            model.loss(batch).backward();
            twin.variables().for_each(|(_, variable)| variable.shallow_clone().zero_grad());
            twin.loss(batch).backward();
            let mut compared = 0;
            for (name, variable) in model.variables().filter(|(_, variable)| variable.requires_grad()) {
                assert_close(&variable.grad(), &twin.variable(name).grad(), &format!("{policy:?}: {name}"));
                compared += 1;
            }
            assert_eq!(compared + optimizer.tracker().frozen(), model.variables().count());
            optimizer.step().unwrap();
        }
        assert!(optimizer.tracker().frozen() >= 5 && !optimizer.tracker().all_frozen());
    }
}
