//! Released parameters do not change by a bit, and their state is freed.

use grades::Error;
use grades::optim::Hyperparameter::{LearningRate, WeightDecay};
use grades::optim::{AdamConfig, Implementation, InnerOptimizer, SgdConfig};
use grades::parameters::Parameters;
use tch::nn::VarStore;
use tch::{Kind, Tensor};

use crate::common::{add, devices, elements, give, values};
use crate::tolerance::HALF_WEIGHT;

const IMPLEMENTATIONS: [Implementation; 3] =
    [Implementation::Fused, Implementation::Libtorch, Implementation::Reference];

/// Three parameters of different dtypes, and an optimizer that would move one on its own, by decay and momentum.
struct Setup {
    vs: VarStore,
    tensors: Vec<Tensor>,
    optimizer: Box<dyn InnerOptimizer>,
    name: &'static str,
}

/// Every optimizer in every implementation.
fn setups() -> Vec<Setup> {
    let mut list = Vec::new();
    for device in devices() {
        for implementation in IMPLEMENTATIONS {
            for name in ["adam", "adamw", "amsgrad", "sgd"] {
                let vs = VarStore::new(device);
                let tensors = vec![
                    add(&vs, "a", 0, &values(&[4, 3], Kind::Float, device, |i| i as f64 - 5.0)),
                    add(&vs, "b", 1, &values(&[5], Kind::Double, device, |i| i as f64)),
                    add(&vs, "c", 0, &values(&[7], Kind::BFloat16, device, |i| i as f64 / 2.0)),
                ];
                let adam = |config: AdamConfig| -> Box<dyn InnerOptimizer> {
                    Box::new(config.wd(0.5).implementation(implementation).build(&vs, 0.1).unwrap())
                };
                let optimizer: Box<dyn InnerOptimizer> = match name {
                    "adam" => adam(AdamConfig::adam()),
                    "adamw" => adam(AdamConfig::adamw()),
                    "amsgrad" => adam(AdamConfig::adamw().amsgrad(true)),
                    _ => {
                        let config = SgdConfig::new().momentum(0.9).wd(0.5);
                        Box::new(config.implementation(implementation).build(&vs, 0.1).unwrap())
                    }
                };
                list.push(Setup { vs, tensors, optimizer, name });
            }
        }
    }
    list
}

fn give_all(tensors: &[Tensor]) {
    for tensor in tensors {
        give(tensor, &(tensor.detach().ones_like() * 0.25));
    }
}

/// Bytes of state of one parameter.
fn state_of(tensor: &Tensor, name: &str) -> u64 {
    let bytes = (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64;
    match name {
        "sgd" => bytes,
        "amsgrad" => 3 * bytes + 4,
        _ => 2 * bytes + 4,
    }
}

#[test]
fn state_bytes_are_counted_to_the_byte() {
    for Setup { vs, tensors, mut optimizer, name } in setups() {
        let parameters = Parameters::from_var_store(&vs).unwrap();
        optimizer.bind(&parameters).unwrap();
        assert_eq!(optimizer.memory().state, Some(0));
        give_all(&tensors[..1]);
        optimizer.step().unwrap();
        assert_eq!(optimizer.memory().state, Some(state_of(&tensors[0], name)));
        give_all(&tensors);
        optimizer.step().unwrap();
        let all: u64 = tensors.iter().map(|tensor| state_of(tensor, name)).sum();
        assert_eq!(optimizer.memory().state, Some(all), "{name}");
        optimizer.release(&[parameters.id_of("b").unwrap()]).unwrap();
        assert_eq!(optimizer.memory().state, Some(all - state_of(&tensors[1], name)), "{name}");
        let ids: Vec<_> = parameters.ids().collect();
        optimizer.release(&ids).unwrap();
        assert_eq!(optimizer.memory().state, Some(0));
        optimizer.step().unwrap();
        optimizer.zero_grad().unwrap();
        optimizer.step().unwrap();
    }
}

#[test]
fn released_bytes_never_move() {
    for Setup { vs, tensors, mut optimizer, name } in setups() {
        let parameters = Parameters::from_var_store(&vs).unwrap();
        optimizer.bind(&parameters).unwrap();
        for _ in 0..3 {
            give_all(&tensors);
            optimizer.step().unwrap();
        }
        let before: Vec<Tensor> = tensors.iter().map(|tensor| tensor.detach().copy()).collect();
        // Released with its gradient still there, and with new gradients later: neither may move it.
        optimizer.release(&[parameters.id_of("a").unwrap()]).unwrap();
        for step in 0..4 {
            optimizer.step().unwrap();
            optimizer.set(None, LearningRate, 0.2 / f64::from(step + 1)).unwrap();
            optimizer.set(None, WeightDecay, 0.9).unwrap();
            give_all(&tensors);
        }
        optimizer.step().unwrap();
        assert!(tensors[0].equal(&before[0]), "{name}: a moved");
        assert!(!tensors[1].equal(&before[1]) && !tensors[2].equal(&before[2]), "{name}: b or c rests");
    }
}

#[test]
fn the_others_do_not_notice_a_release() {
    for (mut releasing, mut plain) in setups().into_iter().zip(setups()) {
        let parameters = Parameters::from_var_store(&releasing.vs).unwrap();
        releasing.optimizer.bind(&parameters).unwrap();
        for step in 0..6 {
            give_all(&releasing.tensors);
            give_all(&plain.tensors);
            releasing.optimizer.step().unwrap();
            plain.optimizer.step().unwrap();
            if step == 2 {
                releasing.optimizer.release(&[parameters.id_of("c").unwrap()]).unwrap();
            }
        }
        for index in [0, 1] {
            let same = releasing.tensors[index].equal(&plain.tensors[index]);
            assert!(same, "{}: parameter {index}", releasing.name);
        }
    }
}

#[test]
fn a_parameter_without_a_gradient_rests() {
    for Setup { tensors, mut optimizer, name, .. } in setups() {
        give_all(&tensors);
        optimizer.step().unwrap();
        let before = elements(&tensors[1]);
        for _ in 0..3 {
            optimizer.zero_grad().unwrap();
            give_all(&tensors[..1]);
            optimizer.step().unwrap();
        }
        assert_eq!(elements(&tensors[1]), before, "{name}: decay or momentum moved it");
    }
}

#[test]
fn a_change_of_kind_after_the_first_step_is_followed_or_an_error_but_no_wrong_update() {
    for (name, implementation) in ["sgd", "adam"]
        .into_iter()
        .flat_map(|name| IMPLEMENTATIONS.map(|implementation| (name, implementation)))
    {
        for (from, to) in [(Kind::Float, Kind::BFloat16), (Kind::BFloat16, Kind::Float)] {
            let mut vs = VarStore::new(tch::Device::Cpu);
            let tensor = add(&vs, "w", 0, &values(&[64], from, tch::Device::Cpu, |_| 1.0));
            let mut optimizer: Box<dyn InnerOptimizer> = match name {
                "sgd" => Box::new(SgdConfig::new().implementation(implementation).build(&vs, 0.25).unwrap()),
                _ => Box::new(AdamConfig::adam().implementation(implementation).build(&vs, 0.25).unwrap()),
            };
            let tensors = [tensor];
            let ones = |kind| values(&[64], kind, tch::Device::Cpu, |_| 1.0);
            give(&tensors[0], &ones(from));
            optimizer.step().unwrap();
            optimizer.zero_grad().unwrap();
            vs.set_kind(to);
            give(&tensors[0], &ones(to));
            match optimizer.step() {
                // Adam moves by lr at each of its first steps with a constant gradient, as SGD does with ones.
                Ok(()) => {
                    let all = elements(&tensors[0]);
                    assert!(
                        all.iter().all(|x| (x - 0.5).abs() < HALF_WEIGHT),
                        "{name}, {implementation:?}: {}",
                        all[0]
                    );
                }
                Err(error) => assert!(error.to_string().contains("kind"), "{error}"),
            }
        }
    }
}

#[test]
fn an_id_of_another_registry_is_an_error() {
    let Setup { vs, tensors, mut optimizer, .. } = setups().remove(0);
    let device = tensors[0].device();
    let other = VarStore::new(device);
    for name in ["p", "q", "r", "s"] {
        let _ = add(&other, name, 0, &tensors[0].detach());
    }
    let foreign = Parameters::from_var_store(&other).unwrap();
    let error = optimizer.bind(&foreign).unwrap_err();
    assert!(matches!(&error, Error::Unknown { what: "parameter", name, .. } if name == "p"), "{error}");
    optimizer.bind(&Parameters::from_var_store(&vs).unwrap()).unwrap();
    let ids: Vec<_> = foreign.ids().collect();
    assert!(matches!(optimizer.release(&ids), Err(Error::Unknown { .. })));
}

#[test]
fn ids_are_those_of_the_registry_that_was_bound() {
    // A registry of fewer parameters numbers them differently.
    let Setup { vs, tensors, mut optimizer, .. } = setups().remove(0);
    let _ = tensors[0].set_requires_grad(false);
    let fewer = Parameters::from_var_store(&vs).unwrap();
    let _ = tensors[0].set_requires_grad(true);
    optimizer.bind(&fewer).unwrap();
    let b = fewer.id_of("b").unwrap();
    assert_eq!(b.index(), 0);
    optimizer.release(&[b]).unwrap();
    let before = [elements(&tensors[0]), elements(&tensors[1])];
    give_all(&tensors);
    optimizer.step().unwrap();
    assert_ne!(elements(&tensors[0]), before[0]);
    assert_eq!(elements(&tensors[1]), before[1]);
}
