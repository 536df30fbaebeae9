//! Factors on learning rates, readmission, and statistics of moments.

use grades::Error;
use grades::optim::Hyperparameter::{LearningRate, WeightDecay};
use grades::optim::{
    AdamConfig, Capabilities, GradStats, Implementation, InnerOptimizer, MomentRates, SgdConfig, StatsRequest,
};
use grades::parameters::{ParamId, Parameters};
use tch::nn::{OptimizerConfig, VarStore};
use tch::{Kind, Tensor};

use crate::common::{add, devices, distance, elements, give, request, values};
use crate::tolerance::ONE_UPDATE_FROM_WEIGHTS;

const LR: f64 = 0.05;
const IMPLEMENTATIONS: [Implementation; 3] =
    [Implementation::Fused, Implementation::Libtorch, Implementation::Reference];

/// Three parameters of two dtypes in two groups, and their optimizer.
struct Setup {
    tensors: Vec<Tensor>,
    parameters: Parameters,
    optimizer: Box<dyn InnerOptimizer>,
    name: String,
}

/// Every optimizer in every implementation; `b` is in the given group.
fn setups(group_of_b: usize) -> Vec<Setup> {
    let mut list = Vec::new();
    for device in devices() {
        for implementation in IMPLEMENTATIONS {
            for name in ["adam", "adamw", "amsgrad", "sgd", "nesterov", "plain"] {
                let vs = VarStore::new(device);
                let tensors = vec![
                    add(&vs, "a", 0, &values(&[4, 3], Kind::Float, device, |i| i as f64 / 7.0 - 0.5)),
                    add(&vs, "b", group_of_b, &values(&[5, 2], Kind::Float, device, |i| i as f64 / 3.0)),
                    add(&vs, "c", 1, &values(&[7], Kind::BFloat16, device, |i| i as f64 / 2.0)),
                ];
                let adam = |config: AdamConfig| -> Box<dyn InnerOptimizer> {
                    Box::new(config.implementation(implementation).build(&vs, LR).unwrap())
                };
                let sgd = |config: SgdConfig| -> Box<dyn InnerOptimizer> {
                    Box::new(config.wd(0.3).implementation(implementation).build(&vs, LR).unwrap())
                };
                let mut optimizer = match name {
                    "adam" => adam(AdamConfig::adam().wd(0.3)),
                    "adamw" => adam(AdamConfig::adamw().wd(0.3)),
                    "amsgrad" => adam(AdamConfig::adamw().amsgrad(true)),
                    "sgd" => sgd(SgdConfig::new().momentum(0.9)),
                    "nesterov" => sgd(SgdConfig::new().momentum(0.9).nesterov(true)),
                    _ => sgd(SgdConfig::new()),
                };
                let parameters = Parameters::from_var_store(&vs).unwrap();
                optimizer.bind(&parameters).unwrap();
                let name = format!("{name}, {implementation:?}, {device:?}");
                list.push(Setup { tensors, parameters, optimizer, name });
            }
        }
    }
    list
}

impl Setup {
    /// Applies a step and computes statistics of these parameters.
    fn measured(&mut self, ids: &[ParamId], requested: StatsRequest) -> GradStats {
        let mut stats = GradStats::new(self.parameters.len());
        self.optimizer.step_measured(&request(&self.parameters, ids, requested), &mut stats).unwrap();
        stats.read().unwrap();
        stats
    }

    fn give(&self, step: i64) {
        for (index, tensor) in (0..).zip(&self.tensors) {
            let gradient = |i: i64| ((i * 7 + step * 3 + index) % 11) as f64 / 11.0 - 0.4;
            give(tensor, &values(&tensor.size(), tensor.kind(), tensor.device(), gradient));
        }
    }

    fn step(&mut self, step: i64) {
        self.give(step);
        self.optimizer.step().unwrap();
    }

    fn id(&self, name: &str) -> ParamId {
        self.parameters.id_of(name).unwrap()
    }

    fn set_factor(&mut self, name: &str, factor: f64) {
        let id = self.id(name);
        self.optimizer.set_lr_factors(&[(id, factor)]).unwrap();
    }
}

#[test]
fn a_factor_is_a_learning_rate_of_its_own_and_changes_no_other_parameter() {
    // In the twin, `b` is alone in a group whose learning rate is set.
    for (mut with, mut twin) in setups(0).into_iter().zip(setups(2)) {
        for step in 1..=12 {
            let factor = match step {
                1..=3 => 1.0,
                4..=6 => 0.5,
                7..=9 => 0.0,
                _ => 1.0,
            };
            with.set_factor("b", factor);
            twin.optimizer.set(Some(2), LearningRate, LR * factor).unwrap();
            let before = elements(&with.tensors[1]);
            with.step(step);
            twin.step(step);
            for (index, (tensor, twin)) in with.tensors.iter().zip(&twin.tensors).enumerate() {
                assert!(tensor.equal(twin), "{}: parameter {index} after step {step}", with.name);
            }
            assert_eq!(elements(&with.tensors[1]) == before, factor == 0.0, "{}", with.name);
        }
    }
}

#[test]
fn a_factor_goes_on_multiplying_when_the_learning_rate_changes() {
    for (mut with, mut twin) in setups(0).into_iter().zip(setups(2)) {
        with.set_factor("b", 0.25);
        for step in 1..=4 {
            let lr = LR / step as f64;
            with.optimizer.set(None, LearningRate, lr).unwrap();
            twin.optimizer.set(None, LearningRate, lr).unwrap();
            twin.optimizer.set(Some(2), LearningRate, 0.25 * lr).unwrap();
            with.step(step);
            twin.step(step);
            assert!(with.tensors[1].equal(&twin.tensors[1]), "{} after step {step}", with.name);
            let read = with.optimizer.get(0, LearningRate);
            assert_eq!(read, Some(lr), "the rate that is read is the group's");
        }
    }
}

#[test]
fn a_readmitted_parameter_begins_as_a_new_one() {
    for (mut with, mut fresh) in setups(0).into_iter().zip(setups(0)) {
        let bytes = |setup: &Setup| setup.optimizer.memory().state.unwrap();
        for step in 1..=3 {
            with.step(step);
        }
        let full = bytes(&with);
        with.set_factor("b", 0.5);
        let b = with.id("b");
        with.optimizer.release(&[b]).unwrap();
        let rest = bytes(&with);
        let before = elements(&with.tensors[1]);
        with.step(4);
        assert_eq!(elements(&with.tensors[1]), before, "{}", with.name);

        with.optimizer.readmit(&[b]).unwrap();
        assert_eq!(bytes(&with), rest, "{}: no state before its first gradient", with.name);
        tch::no_grad(|| fresh.tensors[1].copy_(&with.tensors[1]));
        for step in 5..=8 {
            with.step(step);
            fresh.step(step);
            assert!(with.tensors[1].equal(&fresh.tensors[1]), "{} after step {step}", with.name);
        }
        assert_eq!(bytes(&with), full);
    }
}

#[test]
fn an_unknown_id_changes_nothing() {
    let mut setup = setups(0).remove(0);
    let other = VarStore::new(setup.tensors[0].device());
    for name in ["p", "q", "r", "s"] {
        let _ = add(&other, name, 0, &setup.tensors[0].detach());
    }
    let foreign = Parameters::from_var_store(&other).unwrap().id_of("s").unwrap();
    let a = setup.id("a");
    let optimizer = &mut setup.optimizer;
    assert!(matches!(optimizer.set_lr_factors(&[(a, 0.0), (foreign, 0.0)]), Err(Error::Unknown { .. })));
    assert!(matches!(optimizer.readmit(&[a, foreign]), Err(Error::Unknown { .. })));
    let unknown = [foreign];
    let rates = StatsRequest { rates: true, ..StatsRequest::default() };
    for requested in [StatsRequest::default(), rates] {
        let request = request(&setup.parameters, &unknown, requested);
        let mut stats = GradStats::new(setup.parameters.len());
        assert!(matches!(optimizer.step_measured(&request, &mut stats), Err(Error::Unknown { .. })));
    }
    let before = elements(&setup.tensors[0]);
    setup.step(1);
    assert_ne!(elements(&setup.tensors[0]), before, "its factor is still 1");
}

#[test]
fn moments_and_updates_are_measured_where_there_are_some() {
    for mut setup in setups(0) {
        let ids: Vec<ParamId> = setup.parameters.ids().collect();
        let name = setup.name.clone();
        let momentum = !name.starts_with("plain");
        let coupled = name.starts_with("adam,") || !name.starts_with('a');
        let capabilities = Capabilities { moments: momentum, adjustable: true, coupled_decay: coupled };
        assert_eq!(setup.optimizer.capabilities(), capabilities, "{name}");
        let requested = StatsRequest { moments: true, updates: true, rates: true, ..StatsRequest::default() };
        let empty = setup.measured(&ids, requested);
        assert!(ids.iter().all(|id| empty.moments(*id).is_none() && empty.updates(*id).is_none()), "{name}");
        assert!(ids.iter().all(|id| empty.rates(*id).is_none()), "{name}");
        if coupled {
            let decays = [0, 1].map(|group| setup.optimizer.get(group, WeightDecay));
            assert_eq!(decays, [Some(0.3); 2], "{name}");
        }
        if !momentum {
            continue;
        }
        setup.step(1);
        let before: Vec<Vec<f64>> = setup.tensors.iter().map(elements).collect();
        setup.give(2);
        let asked = [ids[1], ids[0]];
        let stats = setup.measured(&asked, requested);
        let rates = match name.starts_with('a') {
            true => MomentRates { decay: 0.9, gain: 1.0 - 0.9, first_gain: 1.0 - 0.9 },
            false => MomentRates { decay: 0.9, gain: 1.0, first_gain: 1.0 },
        };
        assert_eq!(
            ids.iter().map(|id| stats.rates(*id)).collect::<Vec<_>>(),
            [Some(rates), Some(rates), None]
        );
        let decoupled = if name.starts_with("adamw") { 0.3 } else { 0.0 };
        let decoupled = if name.starts_with("amsgrad") { 0.01 } else { decoupled };
        for index in [1, 0] {
            let now = elements(&setup.tensors[index]);
            let kept = 1.0 - LR * decoupled;
            let moved: f64 =
                now.iter().zip(&before[index]).map(|(now, then)| (then * kept - now).abs()).sum();
            let found = stats.updates(ids[index]).unwrap();
            assert!(
                distance(&[found], &[moved / LR]) < ONE_UPDATE_FROM_WEIGHTS,
                "{name}: {found} is not {}",
                moved / LR
            );
        }
        assert!(asked.iter().all(|id| stats.moments(*id).is_some_and(|squares| squares > 0.0)), "{name}");
        assert!(stats.moments(ids[2]).is_none() && stats.updates(ids[2]).is_none(), "{name}: not asked for");
    }
}

#[test]
fn tchs_optimizers_refuse_with_the_alternatives() {
    let vs = VarStore::new(tch::Device::Cpu);
    let _ = add(&vs, "a", 0, &values(&[2], Kind::Float, tch::Device::Cpu, |_| 1.0));
    let parameters = Parameters::from_var_store(&vs).unwrap();
    let ids: Vec<ParamId> = parameters.ids().collect();
    let mut optimizer = tch::nn::Adam::default().build(&vs, 0.1).unwrap();
    assert_eq!(optimizer.capabilities(), Capabilities::default());
    let refused = |error: Error| {
        let text = error.to_string();
        assert!(matches!(error, Error::Unsupported { .. }), "{text}");
        assert!(text.contains("in the optimizer \"tch\"") && text.contains("{Adam, AdamW, Sgd}"), "{text}");
    };
    refused(optimizer.set_lr_factors(&[(ids[0], 0.5)]).unwrap_err());
    refused(optimizer.readmit(&ids).unwrap_err());
    for requested in [
        StatsRequest { rates: true, ..StatsRequest::default() },
        StatsRequest { moments: true, ..StatsRequest::default() },
        StatsRequest { updates: true, ..StatsRequest::default() },
        StatsRequest { moment_input: true, ..StatsRequest::default() },
    ] {
        let mut stats = GradStats::new(1);
        refused(optimizer.step_measured(&request(&parameters, &ids, requested), &mut stats).unwrap_err());
    }
    assert_eq!(optimizer.get(0, WeightDecay), None);
}
