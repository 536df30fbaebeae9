//! Contract 4: gradients and optimizer state of what is frozen are freed.

use grades::config::Followers;
use grades::optim::InnerOptimizer;
use grades::{FreezingConfig, FreezingOptimizer};
use grades_tests::{FreezeAt, Spec, TinyBert};
use tch::nn::VarStore;

use crate::optimizers;

for_every_optimizer! {
    memory_drops_by_the_share_of_what_froze;
}

fn memory_drops_by_the_share_of_what_froze<O: InnerOptimizer>(make: fn(&VarStore) -> O) {
    let model = TinyBert::new(Spec::default());
    let config = FreezingConfig::new(FreezeAt::new([("layer.0", 3), ("self.value", 5)]))
        .with_followers(Followers::Keep);
    let mut optimizer = FreezingOptimizer::new(make(&model.vs), &model.vs, &config, 20).unwrap();
    assert_eq!(optimizer.memory().gradients, 0);
    optimizer.backward_step(&model.loss(1)).unwrap();
    let full = optimizer.memory();
    let elements = |frozen: bool| -> usize {
        let sizes = model.variables().filter(|(_, variable)| variable.requires_grad() != frozen);
        sizes.map(|(_, variable)| variable.numel()).sum()
    };
    let all = elements(false) as u64;
    assert_eq!((full.parameters, full.gradients), (4 * all, 4 * all));

    let mut freezes = 0;
    for batch in 2..=6 {
        freezes += optimizer.backward_step(&model.loss(batch)).unwrap().events.len();
        let memory = optimizer.memory();
        assert_eq!(memory.parameters, full.parameters);
        assert_eq!(memory.gradients, 4 * elements(false) as u64, "batch {batch}");
        match (full.optimizer_state, memory.optimizer_state) {
            (Some(full), Some(now)) => {
                // Some tensors of the parameter's size, and for Adam a step count of 4 bytes.
                let per_element = full / (4 * all);
                let counts = (full - per_element * 4 * all) / model.variables().count() as u64;
                assert!(matches!((per_element, counts), (1, 0) | (2 | 3, 4)), "{per_element}, {counts}");
                let freed = per_element * 4 * elements(true) as u64 + counts * freezes as u64;
                assert_eq!(full - now, freed, "batch {batch}");
            }
            (full, now) => assert_eq!((full, now), (None, None), "tch keeps its state to itself"),
        }
    }
    assert_eq!(freezes, 7);
}

#[test]
fn the_state_of_a_frozen_parameter_is_gone_and_no_other() {
    let model = TinyBert::new(Spec::default());
    let config = FreezingConfig::new(FreezeAt::new([("layer.0", 2)])).with_followers(Followers::Keep);
    let mut optimizer =
        FreezingOptimizer::new(optimizers::fused_adamw(&model.vs), &model.vs, &config, 20).unwrap();
    optimizer.backward_step(&model.loss(1)).unwrap();
    let names = |optimizer: &FreezingOptimizer<grades::optim::Adam>| {
        let mut names: Vec<String> = optimizer.get_ref().state().map(|(name, ..)| name.to_owned()).collect();
        names.dedup();
        names
    };
    let before = names(&optimizer);
    assert_eq!(before.len(), model.variables().count());
    optimizer.backward_step(&model.loss(2)).unwrap();
    optimizer.backward_step(&model.loss(3)).unwrap();
    let frozen: Vec<String> =
        optimizer.components()[..6].iter().map(|component| format!("{}.weight", component.name)).collect();
    let expected: Vec<String> = before.into_iter().filter(|name| !frozen.contains(name)).collect();
    assert_eq!(names(&optimizer), expected);
}

/// Not what the crate says of itself, but what the operating system sees.
#[cfg(target_os = "linux")]
#[test]
fn the_process_gets_smaller() {
    use grades::component::{ComponentConfig, ComponentKind};
    use tch::{Device, Kind, nn};

    // Above 32 MiB, glibc gives each matrix a mapping of its own, which goes back to the system when it is freed.
    const SIDE: i64 = 3000;
    const MATRIX: i64 = 4 * SIDE * SIDE;
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split_whitespace().nth(1).unwrap().parse::<i64>().unwrap() * 4096
    };
    let vs = nn::VarStore::new(Device::Cpu);
    let weight = (vs.root() / "big").var("weight", &[SIDE, SIDE], nn::Init::Const(0.5));
    let small = (vs.root() / "small").var("weight", &[4], nn::Init::Const(0.5));
    let components =
        ComponentConfig::default().with_pattern(r"(?:big|small)\.weight", ComponentKind::Up).unwrap();
    let config = FreezingConfig::new(FreezeAt::new([("big", 2)]))
        .with_followers(Followers::Keep)
        .with_components(components);
    let mut optimizer = FreezingOptimizer::new(optimizers::fused_adamw(&vs), &vs, &config, 20).unwrap();
    let loss = || (&weight * &weight).sum(Kind::Float) + small.sum(Kind::Float);
    optimizer.backward_step(&loss()).unwrap();
    let before = resident();
    assert_eq!(optimizer.backward_step(&loss()).unwrap().events.len(), 1);
    let after = resident();
    // A gradient and two moments; the other tests of this program are small.
    assert!(before - after > 3 * MATRIX - MATRIX / 2, "{before} bytes before, {after} after");
}
