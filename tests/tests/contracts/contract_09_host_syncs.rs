//! Contract 9: what a check costs in waits for the device does not grow with the number of components.
//!
//! On the CPU nothing is waited for; on a machine with a GPU this runs there.

use std::sync::Mutex;

use grades::torch::host_syncs;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_tests::{Never, Spec, TinyBert};
use tch::Device;

use crate::optimizers;

/// The waits of the check of one step, for a model of so many components.
fn waits(layers: usize, clip: bool) -> u64 {
    let model =
        TinyBert::new(Spec { layers, used: layers, device: Device::cuda_if_available(), ..Spec::default() });
    let config = FreezingConfig::with_policy(Never);
    let mut optimizer =
        FreezingOptimizer::new(optimizers::fused_adamw(&model.vs), &model.vs, &config, 20).unwrap();
    assert_eq!(optimizer.components().len(), 6 * layers);
    optimizer.backward_step(&model.loss(1)).unwrap();
    let before = host_syncs().unwrap();
    let report = match clip {
        true => optimizer.backward_step_clip_norm(&model.loss(2), 0.1).unwrap(),
        false => optimizer.backward_step(&model.loss(2)).unwrap(),
    };
    assert!(report.snapshot.is_some(), "the step was checked");
    host_syncs().unwrap() - before
}

#[test]
fn a_check_waits_for_the_device_at_most_once_however_many_components_there_are() {
    // The counter is one for the whole program; no other test of this one is on a GPU.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap();
    for clip in [false, true] {
        let few = waits(1, clip);
        assert!(few <= 1, "{few} waits");
        assert_eq!(waits(8, clip), few);
    }
}
