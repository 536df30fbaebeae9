//! The preset `official` in a training loop: the statistic is the change of the weights from check to check.

use std::collections::BTreeMap;

use grades::optim::AdamConfig;
use grades::statistic::Statistic;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_tests::tolerance::{STATISTIC, assert_number_within};
use grades_tests::{ReportExt, Spec, TinyBert};
use tch::{Kind, Tensor};

fn copies(model: &TinyBert) -> BTreeMap<String, Tensor> {
    let copy = |tensor: &Tensor| tensor.detach().to_kind(Kind::Double).copy();
    model.variables().map(|(name, variable)| (name.to_owned(), copy(variable))).collect()
}

#[test]
fn the_change_is_that_of_the_weights_since_the_last_check_and_the_first_check_has_none() {
    let model = TinyBert::new(Spec::default());
    // All would freeze at the first comparison.
    let keys = "preset = \"official\"\ngrace = 0\ncheck_every = 2\npolicy = { tau = 1e9 }";
    let config = FreezingConfig::from_toml(&format!("[freezing]\n{keys}")).unwrap();
    let inner = AdamConfig::adamw().wd(0.1).build(&model.vs, 1e-3).unwrap();
    let mut optimizer = FreezingOptimizer::new(inner, &model.vs, &config, 10).unwrap();
    let mut before = copies(&model);
    for step in 1..=4 {
        let report = optimizer.backward_step(&model.loss(step)).unwrap();
        let Some(snapshot) = report.snapshot() else {
            assert!(!step.is_multiple_of(2) && report.events.is_empty());
            continue;
        };
        let changes = snapshot.samples().iter().map(|sample| sample.unwrap().get(Statistic::WeightDeltaL1));
        let now = copies(&model);
        if step == 2 {
            assert!(changes.into_iter().all(|change| change.is_none()));
            assert_eq!((report.frozen, report.total), (0, 12));
        } else {
            for (change, component) in changes.zip(optimizer.components()) {
                // The bias moved too, but does not count.
                let name = format!("{}.weight", component.name);
                let expected = (&now[&name] - &before[&name]).abs().sum(Kind::Double).double_value(&[]);
                let change = change.unwrap();
                assert_number_within(change, expected, STATISTIC.tolerance(Kind::Float), name);
            }
            assert_eq!((report.frozen, report.total), (12, 12));
        }
        before = now;
    }
}
