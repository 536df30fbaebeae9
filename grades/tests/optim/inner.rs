//! The trait: groups, ranges, and tch's optimizers, whose panics become errors.

use grades::Error;
use grades::optim::Hyperparameter::{LearningRate, Momentum, WeightDecay};
use grades::optim::{Adam, AdamConfig, AdamW, InnerOptimizer, OptimizerMemory, Sgd, SgdConfig};
use grades::parameters::Parameters;
use tch::nn::{OptimizerConfig, VarStore};
use tch::{Device, Kind, Tensor};

use crate::common::{add, elements, give, values};

fn two_groups() -> (VarStore, [Tensor; 2]) {
    let vs = VarStore::new(Device::Cpu);
    let ones = values(&[2], Kind::Float, Device::Cpu, |_| 1.0);
    let tensors = [add(&vs, "a", 0, &ones), add(&vs, "b", 2, &ones)];
    (vs, tensors)
}

type Build = fn(&VarStore) -> Box<dyn InnerOptimizer>;

/// A parameter in group 0 and one in group 2, and an optimizer.
struct Setup {
    vs: VarStore,
    tensors: [Tensor; 2],
    optimizer: Box<dyn InnerOptimizer>,
}

fn all() -> Vec<Setup> {
    let make: [Build; 6] = [
        |vs| Box::new(AdamConfig::adam().build(vs, 0.5).unwrap()),
        |vs| Box::new(AdamConfig::adamw().build(vs, 0.5).unwrap()),
        |vs| Box::new(SgdConfig::new().momentum(0.5).build(vs, 0.5).unwrap()),
        |vs| Box::new(tch::nn::Sgd { momentum: 0.5, ..Default::default() }.build(vs, 0.5).unwrap()),
        |vs| Box::new(tch::nn::Adam::default().build(vs, 0.5).unwrap()),
        |vs| Box::new(tch::nn::RmsProp::default().build(vs, 0.5).unwrap()),
    ];
    make.iter()
        .map(|make| {
            let (vs, tensors) = two_groups();
            let optimizer = make(&vs);
            Setup { vs, tensors, optimizer }
        })
        .collect()
}

#[test]
fn everything_can_be_bound_stepped_and_released() {
    for Setup { vs, tensors, mut optimizer } in all() {
        let parameters = Parameters::from_var_store(&vs).unwrap();
        optimizer.bind(&parameters).unwrap();
        tensors.iter().for_each(|tensor| give(tensor, &tensor.detach()));
        optimizer.step().unwrap();
        assert!(tensors.iter().all(|tensor| elements(tensor)[0] < 1.0), "{}", optimizer.name());
        optimizer.zero_grad().unwrap();
        assert!(tensors.iter().all(|tensor| !tensor.grad().defined()));
        optimizer.release(&[parameters.id_of("a").unwrap()]).unwrap();
        optimizer.step().unwrap();
        assert!(format!("{optimizer:?}").len() < 1000);
    }
}

#[test]
fn a_group_has_its_own_learning_rate() {
    for Setup { tensors, mut optimizer, .. } in all() {
        optimizer.set(Some(2), LearningRate, 0.0).unwrap();
        optimizer.set(Some(2), WeightDecay, 0.0).unwrap();
        tensors.iter().for_each(|tensor| give(tensor, &tensor.detach()));
        optimizer.step().unwrap();
        assert_ne!(elements(&tensors[0])[0], 1.0);
        assert_eq!(elements(&tensors[1])[0], 1.0, "{}", optimizer.name());
        optimizer.set(None, LearningRate, 0.5).unwrap();
        optimizer.step().unwrap();
        assert_ne!(elements(&tensors[1])[0], 1.0, "{}", optimizer.name());
    }
}

#[test]
fn an_unknown_group_is_an_error() {
    for Setup { mut optimizer, .. } in all() {
        for result in [
            optimizer.set(Some(3), LearningRate, 0.1),
            optimizer.set(Some(3), Momentum, 0.1),
            optimizer.set(Some(3), WeightDecay, 0.1),
        ] {
            let error = result.unwrap_err();
            match optimizer.name() {
                "tch" => assert!(matches!(error, Error::Torch { .. }), "{error}"),
                _ => assert!(error.to_string().contains("unknown group \"3\"; known: 0, 1, 2"), "{error}"),
            }
        }
    }
}

#[test]
fn tch_panics_are_errors() {
    let (vs, tensors) = two_groups();
    let mut optimizer = tch::nn::Adam::default().build(&vs, 0.1).unwrap();
    let error = InnerOptimizer::set(&mut optimizer, Some(0), Momentum, 0.5).unwrap_err();
    assert!(error.to_string().contains("momentum"), "{error}");
    // It can still be used.
    tensors.iter().for_each(|tensor| give(tensor, &tensor.detach()));
    InnerOptimizer::step(&mut optimizer).unwrap();
    assert_eq!((optimizer.get(0, LearningRate), optimizer.memory()), (None, OptimizerMemory::default()));

    let (other, _) = two_groups();
    let error = optimizer.bind(&Parameters::from_var_store(&other).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error}");
}

fn message(result: Result<impl std::fmt::Debug, Error>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn values_out_of_range_are_named() {
    let (vs, _) = two_groups();
    let adam = AdamConfig::adam;
    for (key, config) in [
        ("beta1: 1.5", adam().beta1(1.5)),
        ("beta1: NaN", adam().beta1(f64::NAN)),
        ("beta2: -0.1", adam().beta2(-0.1)),
        ("eps: -1", adam().eps(-1.0)),
        ("wd: inf", adam().wd(f64::INFINITY)),
    ] {
        let error = message(config.build(&vs, 0.1));
        assert!(error.contains(key), "{error}");
    }
    let both = message(adam().beta1(2.0).eps(-1.0).build(&vs, f64::NAN));
    assert!(
        ["3 problems", "beta1: 2", "eps: -1", "lr: NaN"].iter().all(|part| both.contains(part)),
        "{both}"
    );
    for (key, config) in [
        ("momentum: -1", SgdConfig::new().momentum(-1.0)),
        ("nesterov: true needs", SgdConfig::new().nesterov(true)),
        ("dampening: 0.5 is not 0", SgdConfig::new().momentum(0.9).dampening(0.5).nesterov(true)),
        ("wd: -2", SgdConfig::new().wd(-2.0)),
    ] {
        let error = message(config.build(&vs, 0.1));
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn setters_check_their_values_and_change_nothing_on_an_error() {
    let (vs, _) = two_groups();
    let mut adam: Adam = AdamConfig::adam().build(&vs, 0.25).unwrap();
    let refused = |result: Result<(), Error>, name: &str, value: &str| match result.unwrap_err() {
        Error::InvalidArgument { argument, found, .. } => assert_eq!((argument, &*found), (name, value)),
        error => panic!("{error}"),
    };
    refused(adam.set(None, LearningRate, -1.0), "lr", "-1");
    refused(adam.set(Some(0), LearningRate, f64::NAN), "lr", "NaN");
    refused(adam.set(None, Momentum, 1.0), "beta1", "1");
    refused(adam.set(None, WeightDecay, -0.5), "weight_decay", "-0.5");
    assert_eq!(adam.get(0, LearningRate), Some(0.25));
    let mut sgd: Sgd = SgdConfig::new().momentum(0.9).nesterov(true).build(&vs, 0.25).unwrap();
    assert!(message(sgd.set(None, Momentum, 0.0)).contains("nesterov"));
    refused(sgd.set(Some(0), Momentum, -1.0), "momentum", "-1");
    let adamw: AdamW = AdamConfig::adamw().build(&vs, 0.25).unwrap();
    assert_eq!((adam.name(), adamw.name(), sgd.name()), ("adam", "adamw", "sgd"));
}

#[test]
fn momentum_can_be_switched_on_and_off() {
    // As PyTorch: the first gradient with momentum fills the buffer, later the old buffer is used again.
    let (vs, [a, _]) = two_groups();
    let mut sgd = SgdConfig::new().build(&vs, 1.0).unwrap();
    let mut expected = 1.0;
    let mut buffer = None;
    for momentum in [0.0, 0.5, 0.5, 0.0, 0.5] {
        sgd.set(None, Momentum, momentum).unwrap();
        give(&a, &values(&[2], Kind::Float, Device::Cpu, |_| 0.125));
        sgd.step().unwrap();
        expected -= match momentum {
            0.0 => 0.125,
            _ => *buffer.insert(buffer.map_or(0.125, |old: f64| old * momentum + 0.125)),
        };
        assert_eq!(elements(&a)[0], expected);
    }
    assert_eq!(
        sgd.state().map(|(name, field, _)| (name, field)).collect::<Vec<_>>(),
        [("a", "momentum_buffer")]
    );
}

#[test]
fn state_is_reachable_by_name() {
    let (vs, [_, b]) = two_groups();
    let mut adam = AdamConfig::adam().amsgrad(true).build(&vs, 0.1).unwrap();
    for _ in 0..3 {
        give(&b, &values(&[2], Kind::Float, Device::Cpu, |_| 0.5));
        adam.step().unwrap();
    }
    let state: Vec<_> =
        adam.state().map(|(name, field, tensor)| (name, field, elements(tensor)[0])).collect();
    assert_eq!(
        state.iter().map(|(name, field, _)| (*name, *field)).collect::<Vec<_>>(),
        [("b", "exp_avg"), ("b", "exp_avg_sq"), ("b", "step"), ("b", "max_exp_avg_sq")]
    );
    assert_eq!(state[2].2, 3.0);
}
