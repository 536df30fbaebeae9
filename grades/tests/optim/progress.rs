//! The statistic `progress` of the optimizers: against PyTorch's state, which `tests/golden/progress.py` wrote, and without
//! an update.

use grades::optim::Hyperparameter::Momentum;
use grades::optim::{GradScale, GradStats, InnerOptimizer, SgdConfig, StatsRequest, StepRequest};
use grades::parameters::Parameters;
use serde_json::Value;
use tch::nn::{OptimizerConfig, VarStore};
use tch::{Device, Kind, Tensor};

use crate::common::{add, devices, give, request, values};
use crate::golden::{SHAPES, Subject, build, kind_of};
use crate::tolerance::OPTIMIZER_STEPS;

const PROGRESS: StatsRequest = StatsRequest {
    progress: true,
    gradients: false,
    moment_input: false,
    moments: false,
    updates: false,
    rates: false,
};

/// The parameters and gradients of `optim.py`.
struct Rig {
    kind: Kind,
    device: Device,
    tensors: Vec<Tensor>,
    parameters: Parameters,
    optimizer: Box<dyn InnerOptimizer>,
}

impl Rig {
    fn new(case: &Value, subject: Subject, device: Device) -> Self {
        let kind = kind_of(case);
        let vs = VarStore::new(device);
        let tensors = SHAPES.iter().zip(0..).map(|((name, shape), k)| {
            let value = values(shape, kind, device, |i| (((3 * i + k) % 11) - 5) as f64 / 8.0);
            add(&vs, name, 0, &value)
        });
        let tensors = tensors.collect();
        let optimizer = build(case, subject, &vs);
        let parameters = Parameters::from_var_store(&vs).unwrap();
        Self { kind, device, tensors, parameters, optimizer }
    }

    fn give(&mut self, step: i64, misses: bool) {
        self.optimizer.zero_grad().unwrap();
        for (k, tensor) in (0..).zip(&self.tensors) {
            if !(misses && k == 1 && step % 3 == 0) {
                let formula = |i| (((7 * i + 3 * step + 5 * k) % 17) - 8) as f64 / 16.0;
                give(tensor, &values(SHAPES[k as usize].1, self.kind, self.device, formula));
            }
        }
    }

    fn step(&mut self, factor: f64) -> Vec<Option<f64>> {
        let ids: Vec<_> = self.parameters.ids().collect();
        let request =
            StepRequest { scale: GradScale::Factor(factor), ..request(&self.parameters, &ids, PROGRESS) };
        let mut stats = GradStats::new(ids.len());
        self.optimizer.step_measured(&request, &mut stats).unwrap();
        stats.read().unwrap();
        ids.into_iter().map(|id| stats.progress(id)).collect()
    }

    fn without_update(&mut self) -> Vec<Option<f64>> {
        let ids: Vec<_> = self.parameters.ids().collect();
        let mut stats = GradStats::new(ids.len());
        self.optimizer.measure_progress(&ids, &mut stats).unwrap();
        stats.read().unwrap();
        ids.into_iter().map(|id| stats.progress(id)).collect()
    }
}

fn run(case: &Value, subject: Subject, device: Device) {
    let (misses, factor) = (case["misses"].as_bool().unwrap(), case["factor"].as_f64().unwrap());
    let mut rig = Rig::new(case, subject, device);
    for (step, recorded) in (0..).zip(case["steps"].as_array().unwrap()) {
        rig.give(step, misses);
        let alone = rig.without_update();
        let found = rig.step(factor);
        for (((name, _), found), alone) in SHAPES.iter().zip(found).zip(alone) {
            let context = format!("{}, {subject:?}, {device:?}, step {step}, {name}", case["name"]);
            let expected = &recorded[name];
            for found in [found, alone] {
                assert_eq!(found.is_some(), !expected.is_null(), "{context}");
                let (Some(found), Some(value)) = (found, expected["value"].as_f64()) else { continue };
                // Relative to the terms of the sum, which cancels.
                let off = (found - value).abs() / expected["size"].as_f64().unwrap();
                assert!(
                    off <= OPTIMIZER_STEPS.tolerance(rig.kind),
                    "{context}: {found} is not {value}: {off:e}"
                );
            }
        }
    }
}

#[test]
fn progress_is_that_of_pytorchs_state() {
    let golden: Value = serde_json::from_str(include_str!("../golden/progress.json")).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() >= 50, "only {} cases", cases.len());
    for device in devices() {
        for case in cases {
            for subject in [Subject::Fused, Subject::Libtorch, Subject::Reference] {
                run(case, subject, device);
            }
        }
    }
}

#[test]
fn an_optimizer_without_a_visible_state_says_so() {
    let vs = VarStore::new(Device::Cpu);
    let tensor = add(&vs, "w", 0, &values(&[8], Kind::Float, Device::Cpu, |_| 1.0));
    let mut optimizer = tch::nn::AdamW::default().build(&vs, 0.1).unwrap();
    let parameters = Parameters::from_var_store(&vs).unwrap();
    let ids: Vec<_> = parameters.ids().collect();
    give(&tensor, &values(&[8], Kind::Float, Device::Cpu, |_| 1.0));
    let mut stats = GradStats::new(1);
    let errors = [
        optimizer.step_measured(&request(&parameters, &ids, PROGRESS), &mut stats).unwrap_err(),
        optimizer.measure_progress(&ids, &mut stats).unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("AdamW"), "{error}");
    }
}

#[test]
fn without_a_momentum_there_is_no_direction() {
    let vs = VarStore::new(Device::Cpu);
    let tensor = add(&vs, "w", 0, &values(&[8], Kind::Float, Device::Cpu, |_| 1.0));
    let optimizer = SgdConfig::new().build(&vs, 0.5).unwrap();
    let parameters = Parameters::from_var_store(&vs).unwrap();
    let mut rig = Rig {
        kind: Kind::Float,
        device: Device::Cpu,
        tensors: vec![tensor],
        parameters,
        optimizer: Box::new(optimizer),
    };
    let gradient = values(&[8], Kind::Float, Device::Cpu, |_| 2.0);
    for step in 0..5 {
        // A momentum from the third step on: its first buffer is made there, and the next step has a direction.
        if step == 2 {
            rig.optimizer.set(None, Momentum, 0.5).unwrap();
        }
        give(&rig.tensors[0], &gradient);
        assert_eq!(rig.without_update()[0].is_some(), step > 2, "step {step}");
        // 0.5 · Σ 2·2, then the buffer is 1.5 times as large.
        let expected = [None, None, None, Some(16.0), Some(24.0)][step];
        assert_eq!(rig.step(1.0)[0], expected, "step {step}");
    }
}

#[test]
fn a_parameter_that_comes_back_has_no_progress_at_its_first_step() {
    let case = serde_json::json!({"optimizer": "adamw", "kind": "f32", "options": {}});
    for subject in [Subject::Fused, Subject::Libtorch, Subject::Reference] {
        let mut rig = Rig::new(&case, subject, Device::Cpu);
        let ids: Vec<_> = rig.parameters.ids().collect();
        let mut found = Vec::new();
        for step in 0..5 {
            if step == 3 {
                rig.optimizer.release(&ids[..1]).unwrap();
                rig.optimizer.readmit(&ids[..1]).unwrap();
            }
            rig.give(step, false);
            found.push(rig.step(1.0)[0].is_some());
        }
        assert_eq!(found, [false, true, true, false, true], "{subject:?}");
    }
}
