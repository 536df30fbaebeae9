//! Contract 9: no check waits for the device, however many components there are.
//!
//! On the CPU nothing is waited for; on a machine with a GPU this runs there.

use grades::torch::host_syncs;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_tests::{Never, ReportExt, Spec, TinyBert};
use tch::Device;

use crate::optimizers;

/// The waits of the check of one step, for a model of so many components.
fn waits(layers: usize, clip: bool) -> u64 {
    let model =
        TinyBert::new(Spec { layers, used: layers, device: Device::cuda_if_available(), ..Spec::default() });
    let config = FreezingConfig::new(Never);
    let mut optimizer =
        FreezingOptimizer::new(optimizers::fused_adamw(&model.vs), &model.vs, &config, 20).unwrap();
    assert_eq!(optimizer.components().len(), 6 * layers);
    optimizer.backward_step(&model.loss(1)).unwrap();
    let before = host_syncs().unwrap();
    let report = match clip {
        true => optimizer.backward_step_clip_norm(&model.loss(2), 0.1).unwrap(),
        false => optimizer.backward_step(&model.loss(2)).unwrap(),
    };
    assert!(report.snapshot().is_some(), "a step was checked");
    host_syncs().unwrap() - before
}

#[test]
fn a_check_waits_for_no_device_however_many_components_there_are() {
    for (layers, clip) in [(1, false), (1, true), (8, false), (8, true)] {
        assert_eq!(waits(layers, clip), 0, "{layers} blocks, clip: {clip}");
    }
}
