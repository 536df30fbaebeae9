//! Gradients of other dtypes and layouts, adapters, and parameters that some or all ranks have no gradient for.

use std::collections::BTreeMap;

use grades::component::{ComponentConfig, ComponentKind};
use grades::distributed::{Buckets, Group};
use grades::optim::SgdConfig;
use grades::policy::Never;
use grades::statistic::{Statistic, TwoBatch};
use grades::{FreezingConfig, FreezingOptimizer};
use grades_lora::{Adapters, Linear, LinearLayers, LoraConfig};
use grades_tests::tolerance::{Computation, RANKS};
use grades_tests::{FreezeAt, ReportExt as _};
use tch::nn::{self, Init, VarStore};
use tch::{Device, Kind, Tensor};

use crate::name;
use crate::processes::in_ranks;

/// The estimates from two batches of a gradient of five elements.
const FIVE_SQUARES: Computation = Computation { sums: 4, terms: 5 };

/// Three vectors, of which the losses of ranks use some.
fn model(dtype: Kind) -> (VarStore, [Tensor; 3]) {
    let mut vs = VarStore::new(Device::Cpu);
    let names = ["both", "first", "none"];
    let variables = names.map(|name| vs.root().var(name, &[4, 6], Init::Const(1.0)));
    vs.set_kind(dtype);
    (vs, variables)
}

fn wrapper(vs: &VarStore) -> FreezingOptimizer<grades::optim::Sgd> {
    let components = ComponentConfig::default().with_pattern("both", ComponentKind::Up).unwrap();
    let config = FreezingConfig::new(Never).with_components(components);
    // Weight decay moves whatever counts as having a gradient.
    let inner = SgdConfig::new().wd(0.5).build(vs, 1.0).unwrap();
    FreezingOptimizer::new(inner, vs, &config, 10).unwrap()
}

#[test]
fn a_parameter_without_a_gradient_on_any_rank_is_left_alone() {
    let ends = in_ranks(2, name!(), |group| {
        let (vs, [both, first, none]) = model(Kind::Float);
        let mut optimizer = wrapper(&vs).distributed(group, Buckets::default()).unwrap();
        let mut loss = both.sum(Kind::Float) * (group.rank() as f64 + 1.0);
        if group.rank() == 0 {
            loss += first.sum(Kind::Float) * 0.25;
        }
        optimizer.backward_step(&loss).unwrap();
        let value = |tensor: &Tensor| tensor.double_value(&[0, 0]);
        // 1 − (gradient + 0.5·1)
        assert_eq!([value(&both), value(&first), value(&none)], [-2.5, 0.25, 1.0]);
        assert!(!none.grad().defined());
        String::new()
    });
    assert!(ends.iter().all(|end| end.result().is_empty()));
}

#[test]
fn half_precision_is_summed_in_f32_where_asked() {
    let ends = in_ranks(3, name!(), |group| {
        let mut found = Vec::new();
        for widen in [false, true] {
            let (vs, [both, first, _]) = model(Kind::BFloat16);
            let buckets = Buckets::default().with_f32_sums(widen);
            let mut optimizer = wrapper(&vs).distributed(group, buckets).unwrap();
            optimizer.zero_grad().unwrap();
            optimizer.begin_last_backward().unwrap();
            // 256 + 1 + 1 is 258 in f32, and 256 in bf16, whose integers above 256 are even, if 1 is added twice.
            let gradient = if group.rank() == 0 { 256.0 } else { 1.0 };
            let loss = both.sum(Kind::BFloat16) * gradient + first.sum(Kind::BFloat16);
            loss.backward();
            optimizer.step().unwrap();
            assert_eq!(both.grad().kind(), Kind::BFloat16);
            found.push(both.grad().double_value(&[0, 0]));
            assert_eq!(first.grad().double_value(&[0, 0]), 3.0);
            // 24 elements, rounded up to 64 bytes, of three parameters.
            assert_eq!(optimizer.traffic().unwrap().bytes, if widen { 3 * 128 } else { 3 * 64 });
        }
        assert_eq!(found[1], 258.0);
        format!("{}", found[0])
    });
    assert!(ends.iter().all(|end| end.result() == ends[0].result()));
}

struct Net {
    first: Linear,
    second: Linear,
}

impl LinearLayers for Net {
    fn visit_linear(&mut self, visit: &mut dyn FnMut(&str, &mut Linear)) {
        visit("layers.0.first", &mut self.first);
        visit("layers.1.second", &mut self.second);
    }
}

/// Trains adapters, which freeze one by one; returns all variables as numbers, and how many components froze.
fn train_adapters(group: Option<&Group>) -> (Vec<f32>, usize) {
    let vs = VarStore::new(Device::Cpu);
    let linear = |layer: i64, name: &str| {
        let path = vs.root() / "layers" / layer / name;
        let plain =
            nn::linear(path, 6, 6, nn::LinearConfig { ws_init: Init::Const(0.1), ..Default::default() });
        Linear::from(plain)
    };
    let mut net = Net { first: linear(0, "first"), second: linear(1, "second") };
    let mut adapters = Adapters::new();
    let config = LoraConfig::new(2).alpha(8.0).target_modules(["first", "second"]);
    adapters.add(&mut net, &vs, "default", &config).unwrap();
    for (name, mut variable) in vs.variables().into_iter().collect::<BTreeMap<_, _>>() {
        // No variable depends on a generator.
        let numbers = Tensor::arange(variable.numel() as i64, (Kind::Float, Device::Cpu));
        let values = (numbers + name.len() as f64).sin() * 0.3;
        tch::no_grad(|| variable.copy_(&values.view(variable.size().as_slice())));
    }
    let components = ComponentConfig::default()
        .with_pattern(r"layers\.(?<layer>\d+)\.\w+\.lora_[AB].*", ComponentKind::Adapter)
        .unwrap();
    let policy = FreezeAt::new([("first", 4), ("second.lora_A", 7)]);
    let config = FreezingConfig::new(policy).with_components(components);
    let inner = SgdConfig::new().momentum(0.9).build(&vs, 0.05).unwrap();
    let mut optimizer = FreezingOptimizer::new(inner, &vs, &config, 10).unwrap();
    if let Some(group) = group {
        optimizer = optimizer.distributed(group, Buckets::default().with_bytes(64)).unwrap();
    }
    let (rank, world) = group.map_or((0, 1), |group| (group.rank(), group.world()));
    for step in 0..10 {
        let x = (Tensor::arange(48, (Kind::Float, Device::Cpu)) + f64::from(step)).cos().view([8, 6]);
        let rows = 8 / world as i64;
        let x = x.narrow(0, rank as i64 * rows, rows);
        let hidden = net.first.forward(&x, true).unwrap().tanh();
        let out = net.second.forward(&hidden, true).unwrap();
        optimizer.backward_step(&((out - x).square().sum(Kind::Float) / 48.0)).unwrap();
    }
    let variables: BTreeMap<String, Tensor> = vs.variables().into_iter().collect();
    let numbers = variables
        .values()
        .flat_map(|variable| Vec::<f32>::try_from(variable.detach().contiguous().view([-1])).unwrap());
    (numbers.collect(), optimizer.tracker().frozen())
}

#[test]
fn adapters_are_trained_in_a_group() {
    let ends = in_ranks(2, name!(), |group| serde_json::to_string(&train_adapters(Some(group))).unwrap());
    let (alone, frozen) = train_adapters(None);
    assert_eq!(ends[0].result(), ends[1].result());
    let (group, frozen_there): (Vec<f32>, usize) = serde_json::from_str(ends[0].result()).unwrap();
    assert_eq!((frozen, frozen_there), (3, 3));
    let largest = alone.iter().zip(&group).map(|(one, two)| (one - two).abs()).fold(0.0, f32::max);
    let size = alone.iter().fold(0.0, |size: f32, number| size.max(number.abs()));
    assert!(f64::from(largest) < RANKS * f64::from(size), "{largest:e} of {size}");
}

#[test]
fn gradients_of_any_layout_are_summed() {
    let ends = in_ranks(2, name!(), |group| {
        let (mut vs, _) = model(Kind::Float);
        let mut turned = vs.root().var("turned", &[3, 5], Init::Const(1.0));
        // A variable whose rows are not contiguous.
        turned.set_data(&Tensor::ones([5, 3], (Kind::Float, Device::Cpu)).transpose(0, 1));
        let mut optimizer = wrapper(&vs).distributed(group, Buckets::default()).unwrap();
        let weights = Tensor::arange(15, (Kind::Float, Device::Cpu)).view([3, 5]);
        optimizer.backward_step(&(&turned * &weights).sum(Kind::Float)).unwrap();
        assert_eq!(turned.grad(), &weights * 2.0);
        vs.freeze();
        String::new()
    });
    assert!(ends.iter().all(|end| end.result().is_empty()));
}

/// `two-batch`: each rank's gradient is a small batch, the sum the large one.
#[test]
fn a_rank_is_the_small_batch_of_two() {
    let ends = in_ranks(2, name!(), |group| {
        let vs = VarStore::new(Device::Cpu);
        let w = (vs.root() / "layers" / 0).var("up", &[5], Init::Const(1.0));
        let components = ComponentConfig::default().with_pattern(r"layers.*", ComponentKind::Up).unwrap();
        let toml = "[freezing.policy]\nname = 'two-batch'\nwindow = 2";
        let config = FreezingConfig::from_toml(toml).unwrap().with_components(components);
        let inner = SgdConfig::new().build(&vs, 0.1).unwrap();
        let mut optimizer = FreezingOptimizer::new(inner, &vs, &config, 10)
            .unwrap()
            .distributed(group, Buckets::default())
            .unwrap();
        // The gradient of each rank's mean loss, and its share of the step's examples.
        let gradients = [[1.0f32, 2.0, 3.0, 4.0, 5.0], [2.0, 1.0, 0.0, -1.0, 7.0]];
        let shares = [0.75, 0.25];
        let own = Tensor::from_slice(&gradients[group.rank()]);
        optimizer.zero_grad().unwrap();
        optimizer.begin_last_backward().unwrap();
        // In two micro-batches, which are the rank's one small batch.
        for part in [0.5, 0.5] {
            let loss = (&w * &own).sum(Kind::Float);
            optimizer.backward_accumulate(&loss, shares[group.rank()] * part).unwrap();
        }
        let report = optimizer.step().unwrap();
        let sample = report.snapshot().unwrap().samples()[0].unwrap();

        let squares = |of: &dyn Fn(usize) -> f64| (0..5).map(|index| of(index).powi(2)).sum::<f64>();
        let small = (squares(&|index| f64::from(gradients[0][index]))
            + squares(&|index| f64::from(gradients[1][index])))
            / 2.0;
        let large = squares(&|index| {
            shares[0] * f64::from(gradients[0][index]) + shares[1] * f64::from(gradients[1][index])
        });
        let share = 2.0 / (1.0 / shares[0] + 1.0 / shares[1]);
        let expected = TwoBatch::estimate(small, share, large, 1.0).unwrap();
        for (statistic, expected) in
            [(Statistic::TwoBatchSignal, expected.signal), (Statistic::TwoBatchNoise, expected.noise)]
        {
            let found = sample.get(statistic).unwrap();
            assert!(
                (found - expected).abs() < FIVE_SQUARES.tolerance(Kind::Float) * expected.abs(),
                "{statistic}: {found}, {expected}"
            );
        }
        String::new()
    });
    assert!(ends.iter().all(|end| end.result().is_empty()));
}
