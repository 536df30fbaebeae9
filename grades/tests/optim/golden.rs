//! PyTorch's own numbers, which `tests/golden/optim.py` wrote.

use grades::optim::Hyperparameter::{LearningRate, WeightDecay};
use grades::optim::{AdamConfig, Implementation, InnerOptimizer, SgdConfig};
use serde_json::Value;
use tch::nn::{OptimizerConfig, VarStore};
use tch::{Device, Kind, Tensor};

use crate::common::{add, devices, distance, elements, give, values};
use crate::tolerance::OPTIMIZER_STEPS;

pub(crate) const SHAPES: [(&str, &[i64]); 2] = [("a.weight", &[3, 5]), ("b.bias", &[7])];

/// The implementation that is compared with PyTorch's single-tensor path: fused and single-tensor arithmetic round in
/// different orders.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Subject {
    Fused,
    Libtorch,
    Reference,
    Tch,
}

pub(crate) fn kind_of(case: &Value) -> Kind {
    match case["kind"].as_str().unwrap() {
        "f32" => Kind::Float,
        "f64" => Kind::Double,
        "bf16" => Kind::BFloat16,
        other => panic!("kind {other}"),
    }
}

pub(crate) fn build(case: &Value, subject: Subject, vs: &VarStore) -> Box<dyn InnerOptimizer> {
    let options = &case["options"];
    let number = |key: &str, default: f64| options[key].as_f64().unwrap_or(default);
    let beta = |index: usize, default: f64| options["betas"][index].as_f64().unwrap_or(default);
    let flag = |key: &str| options[key].as_bool().unwrap_or(false);
    let implementation = match subject {
        Subject::Reference => Implementation::Reference,
        Subject::Libtorch => Implementation::Libtorch,
        _ => Implementation::Fused,
    };
    let (lr, wd) = (0.05, number("weight_decay", 0.0));
    let (beta1, beta2, eps) = (beta(0, 0.9), beta(1, 0.999), number("eps", 1e-8));
    let (momentum, dampening) = (number("momentum", 0.0), number("dampening", 0.0));
    let name = case["optimizer"].as_str().unwrap();
    if subject == Subject::Tch {
        let amsgrad = flag("amsgrad");
        return Box::new(match name {
            "adam" => tch::nn::adam(beta1, beta2, wd).eps(eps).amsgrad(amsgrad).build(vs, lr).unwrap(),
            "adamw" => tch::nn::adamw(beta1, beta2, wd).eps(eps).amsgrad(amsgrad).build(vs, lr).unwrap(),
            _ => tch::nn::sgd(momentum, dampening, wd, flag("nesterov")).build(vs, lr).unwrap(),
        });
    }
    let adam = |config: AdamConfig| -> Box<dyn InnerOptimizer> {
        let config = config.beta1(beta1).beta2(beta2).wd(wd).eps(eps).amsgrad(flag("amsgrad"));
        Box::new(config.implementation(implementation).build(vs, lr).unwrap())
    };
    match name {
        "adam" => adam(AdamConfig::adam()),
        "adamw" => adam(AdamConfig::adamw()),
        _ => {
            let config = SgdConfig::new().momentum(momentum).dampening(dampening).wd(wd);
            Box::new(config.nesterov(flag("nesterov")).implementation(implementation).build(vs, lr).unwrap())
        }
    }
}

fn run(case: &Value, subject: Subject, device: Device) {
    let kind = kind_of(case);
    let (misses, groups) = (case["misses"].as_bool().unwrap(), case["groups"].as_bool().unwrap());
    let vs = VarStore::new(device);
    let parameters: Vec<Tensor> = SHAPES
        .iter()
        .zip(0..)
        .map(|((name, shape), k)| {
            let value = values(shape, kind, device, |i| (((3 * i + k) % 11) - 5) as f64 / 8.0);
            add(&vs, name, if groups { k as usize } else { 0 }, &value)
        })
        .collect();
    let mut optimizer = build(case, subject, &vs);
    if groups {
        optimizer.set(Some(1), LearningRate, 0.01).unwrap();
        optimizer.set(Some(1), WeightDecay, 0.3).unwrap();
    }
    for t in 0..10 {
        optimizer.zero_grad().unwrap();
        for (k, parameter) in (0..).zip(&parameters) {
            if !(misses && k == 1 && t % 3 == 0) {
                let formula = |i| (((7 * i + 3 * t + 5 * k) % 17) - 8) as f64 / 16.0;
                give(parameter, &values(SHAPES[k as usize].1, kind, device, formula));
            }
        }
        optimizer.step().unwrap();
        let recorded = &case["parameters"][(t + 1).to_string()];
        if recorded.is_null() {
            continue;
        }
        for ((name, _), parameter) in SHAPES.iter().zip(&parameters) {
            let expected: Vec<f64> = serde_json::from_value(recorded[name].clone()).unwrap();
            let found = distance(&elements(parameter), &expected);
            assert!(
                found <= OPTIMIZER_STEPS.tolerance(kind),
                "{}, {subject:?}, {device:?}, step {}, {name}: off by {found:e}",
                case["name"],
                t + 1
            );
        }
    }
}

fn run_all(subject: Subject) {
    let golden: Value = serde_json::from_str(include_str!("../golden/optim.json")).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() >= 80, "only {} cases", cases.len());
    for device in devices() {
        for case in cases {
            // tch's C++ optimizers round every intermediate result to bf16.
            if !(subject == Subject::Tch && kind_of(case) == Kind::BFloat16) {
                run(case, subject, device);
            }
        }
    }
}

#[test]
fn fused_is_pytorch() {
    run_all(Subject::Fused);
}

#[test]
fn libtorch_is_pytorch() {
    run_all(Subject::Libtorch);
}

#[test]
fn reference_is_pytorch() {
    run_all(Subject::Reference);
}

#[test]
fn tch_is_pytorch() {
    run_all(Subject::Tch);
}
