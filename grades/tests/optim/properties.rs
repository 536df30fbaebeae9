//! Fused and reference give the same updates, over shapes, dtypes and hyperparameters.

use grades::optim::{AdamConfig, Implementation, InnerOptimizer, SgdConfig};
use proptest::prelude::*;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::common::{add, distance, elements, give, values};
use crate::tolerance::{OPTIMIZER_STEPS, optimizer_paths};

type Shapes = Vec<Vec<i64>>;

fn shapes() -> impl Strategy<Value = Shapes> {
    prop::collection::vec(prop::collection::vec(0i64..9, 0..4), 1..5)
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::Float, Kind::Double, Kind::BFloat16, Kind::Half])
}

/// Runs both on the same gradients, some of which are missing, and compares all parameters.
fn compare(
    shapes: &Shapes,
    kind: Kind,
    build: impl Fn(&VarStore, Implementation) -> Box<dyn InnerOptimizer>,
) -> Result<(), TestCaseError> {
    let device = Device::Cpu;
    let runs =
        [Implementation::Fused, Implementation::Libtorch, Implementation::Reference].map(|implementation| {
            let vs = VarStore::new(device);
            let tensors: Vec<Tensor> = (0..)
                .zip(shapes)
                .map(|(k, shape)| {
                    let value = values(shape, kind, device, |i| ((i + k) as f64).cos());
                    add(&vs, &format!("p{k}"), k as usize % 2, &value)
                })
                .collect();
            let mut optimizer = build(&vs, implementation);
            for t in 0..4 {
                optimizer.zero_grad().unwrap();
                for (k, tensor) in (0..).zip(&tensors).filter(|(k, _)| (k + t) % 3 != 0) {
                    let formula = |i: i64| ((7 * i + 3 * t + k) as f64).sin() + 0.01;
                    give(tensor, &values(&tensor.size(), kind, device, formula));
                }
                optimizer.step().unwrap();
            }
            tensors.iter().map(elements).collect::<Vec<_>>()
        });
    for run in &runs[..2] {
        for (fused, reference) in run.iter().zip(&runs[2]) {
            let found = distance(fused, reference);
            prop_assert!(found <= optimizer_paths(kind), "{kind:?}: {found:e}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn adam(
        shapes in shapes(), kind in kinds(), decoupled: bool, amsgrad: bool,
        lr in 0.0f64..0.1, beta1 in 0.0f64..0.99, beta2 in 0.5f64..0.9999, wd in 0.0f64..0.5,
    ) {
        let base = if decoupled { AdamConfig::adamw() } else { AdamConfig::adam() };
        let config = base.beta1(beta1).beta2(beta2).wd(wd).amsgrad(amsgrad).eps(1e-6);
        compare(&shapes, kind, |vs, implementation| {
            Box::new(config.clone().implementation(implementation).build(vs, lr).unwrap())
        })?;
    }

    #[test]
    fn sgd(
        shapes in shapes(), kind in kinds(), nesterov: bool, lr in 0.0f64..0.5,
        momentum in prop_oneof![Just(0.0), 0.01f64..0.99], dampening in 0.0f64..1.0, wd in 0.0f64..0.5,
    ) {
        let nesterov = nesterov && momentum > 0.0;
        let config = SgdConfig::new().momentum(momentum).wd(wd).nesterov(nesterov);
        let config = if nesterov { config } else { config.dampening(dampening) };
        compare(&shapes, kind, |vs, implementation| {
            Box::new(config.clone().implementation(implementation).build(vs, lr).unwrap())
        })?;
    }
}

#[test]
fn half_precision_sgd_moves_every_element() {
    // libtorch's fused kernel does not change whole vectors of elements.
    for kind in [Kind::BFloat16, Kind::Half] {
        let vs = VarStore::new(Device::Cpu);
        let tensor = add(&vs, "w", 0, &values(&[100], kind, Device::Cpu, |_| 1.0));
        let mut sgd = SgdConfig::new().momentum(0.5).build(&vs, 0.25).unwrap();
        for expected in [0.75, 0.375] {
            give(&tensor, &values(&[100], kind, Device::Cpu, |_| 1.0));
            sgd.step().unwrap();
            assert!(elements(&tensor).iter().all(|&x| x == expected), "{kind:?}");
        }
    }
}

#[test]
fn a_parameter_with_another_layout_is_updated_as_any_other() {
    // Transposed parameters keep their strides; fused kernels cannot update parameters with gaps.
    let kind = (Kind::Float, Device::Cpu);
    let transposed = Tensor::arange(12, kind).reshape([3, 4]).tr();
    let gapped = Tensor::arange(24, kind).reshape([4, 6]).slice(1, 0, 6, 2);
    for value in [transposed, gapped] {
        for build in [AdamConfig::adam, AdamConfig::adamw] {
            let stores = [value.shallow_clone(), value.contiguous()].map(|value| {
                let vs = VarStore::new(Device::Cpu);
                let tensor = vs.root().add("w", value.copy_as_it_lies(), true);
                (vs, tensor)
            });
            assert!(!stores[0].1.is_contiguous());
            for (vs, tensor) in &stores {
                let mut optimizer = build().build(vs, 0.1).unwrap();
                for t in 0..3 {
                    // A contiguous gradient whatever the parameter's layout.
                    give(tensor, &values(&tensor.size(), Kind::Float, Device::Cpu, |i| (i - t) as f64));
                    optimizer.step().unwrap();
                }
            }
            assert!(
                distance(&elements(&stores[0].1), &elements(&stores[1].1))
                    < OPTIMIZER_STEPS.tolerance(Kind::Float)
            );
        }
    }
}

/// A copy with the same strides.
trait CopyAsItLies {
    fn copy_as_it_lies(&self) -> Tensor;
}

impl CopyAsItLies for Tensor {
    fn copy_as_it_lies(&self) -> Tensor {
        let room = Tensor::zeros([64], (self.kind(), self.device()));
        let mut copy = room.as_strided(self.size(), self.stride(), 0);
        copy.copy_(self);
        copy.detach()
    }
}
