//! The statistics and the scaling of a step, and the state of half precision.

use grades::optim::Hyperparameter::Momentum;
use grades::optim::{
    AdamConfig, GradScale, GradStats, HalfPrecision, Implementation, InnerOptimizer, SgdConfig, StatsRequest,
    StepRequest,
};
use grades::parameters::{ParamId, Parameters};
use grades::torch::gradients;
use proptest::prelude::*;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::common::{add, distance, elements, give, request, values};
use crate::tolerance::{HALF_MOMENTS, LONG_MOMENT, OPTIMIZER_STEPS, UPDATE_SUMS};

const ALL: StatsRequest = StatsRequest {
    gradients: true,
    moment_input: true,
    moments: true,
    updates: true,
    progress: true,
    rates: true,
};
const NAMES: [&str; 7] = ["adam", "adamw", "amsgrad", "sgd", "nesterov", "dampened", "plain"];
const HALVES: [HalfPrecision; 3] =
    [HalfPrecision::AsParameter, HalfPrecision::FloatState, HalfPrecision::MasterWeights];

fn build(
    name: &str,
    vs: &VarStore,
    implementation: Implementation,
    half: HalfPrecision,
) -> Box<dyn InnerOptimizer> {
    let adam = |config: AdamConfig| -> Box<dyn InnerOptimizer> {
        Box::new(config.wd(0.2).half_precision(half).implementation(implementation).build(vs, 0.05).unwrap())
    };
    let sgd = |config: SgdConfig| -> Box<dyn InnerOptimizer> {
        Box::new(config.wd(0.2).half_precision(half).implementation(implementation).build(vs, 0.05).unwrap())
    };
    match name {
        "adam" => adam(AdamConfig::adam()),
        "adamw" => adam(AdamConfig::adamw()),
        "amsgrad" => adam(AdamConfig::adamw().amsgrad(true)),
        "sgd" => sgd(SgdConfig::new().momentum(0.9)),
        "nesterov" => sgd(SgdConfig::new().momentum(0.9).nesterov(true)),
        "dampened" => sgd(SgdConfig::new().momentum(0.9).dampening(0.4)),
        _ => sgd(SgdConfig::new()),
    }
}

/// Two matrices, one larger than the chunk of a thread, and their optimizer.
struct Rig {
    tensors: Vec<Tensor>,
    parameters: Parameters,
    optimizer: Box<dyn InnerOptimizer>,
}

impl Rig {
    fn new(name: &str, kind: Kind, implementation: Implementation, half: HalfPrecision) -> Self {
        let vs = VarStore::new(Device::Cpu);
        let tensors = [("a", vec![301, 113]), ("b", vec![17])].map(|(name, shape)| {
            add(&vs, name, 0, &values(&shape, kind, Device::Cpu, |i| (i as f64 * 0.7).sin()))
        });
        let optimizer = build(name, &vs, implementation, half);
        let parameters = Parameters::from_var_store(&vs).unwrap();
        Self { tensors: tensors.into(), parameters, optimizer }
    }

    fn give(&self, step: i64) {
        for tensor in &self.tensors {
            let formula = |i: i64| ((i * 13 + step * 5) as f64 * 0.31).cos() * 0.02;
            give(tensor, &values(&tensor.size(), tensor.kind(), Device::Cpu, formula));
        }
    }

    fn ids(&self) -> Vec<ParamId> {
        self.parameters.ids().collect()
    }

    fn measured(&mut self, stats: StatsRequest, scale: GradScale<'_>) -> GradStats {
        let ids = self.ids();
        let request = StepRequest { scale, ..request(&self.parameters, &ids, stats) };
        let mut stats = GradStats::new(self.parameters.len());
        self.optimizer.step_measured(&request, &mut stats).unwrap();
        stats.read().unwrap();
        stats
    }
}

fn all(sums: &GradStats, id: ParamId) -> [Option<f64>; 6] {
    let gradient = sums.gradient(id);
    [
        gradient.map(|sums| sums.absolute),
        gradient.map(|sums| sums.squares),
        sums.moment_input(id),
        sums.moments(id),
        sums.updates(id),
        sums.progress(id),
    ]
}

#[test]
fn measuring_changes_no_bit_of_the_update() {
    for kind in [Kind::Float, Kind::Double, Kind::BFloat16, Kind::Half] {
        for name in NAMES {
            let make = || Rig::new(name, kind, Implementation::Fused, HalfPrecision::AsParameter);
            let (mut plain, mut measured) = (make(), make());
            for step in 0..3 {
                [&plain, &measured].iter().for_each(|rig| rig.give(step));
                plain.optimizer.step().unwrap();
                measured.measured(ALL, GradScale::Factor(1.0));
                for (a, b) in plain.tensors.iter().zip(&measured.tensors) {
                    assert!(a.equal(b), "{name} in {kind:?}, step {step}");
                }
            }
        }
    }
}

/// How far the sums of a pass of its own may be from those of the pass that updates.
fn moments_tolerance(kind: Kind) -> f64 {
    match kind {
        Kind::BFloat16 | Kind::Half => HALF_MOMENTS,
        _ => UPDATE_SUMS,
    }
}

#[test]
fn sums_of_the_pass_that_updates_are_those_of_passes_of_their_own() {
    for kind in [Kind::Float, Kind::Double, Kind::BFloat16, Kind::Half] {
        for (name, half) in NAMES.into_iter().flat_map(|name| HALVES.map(|half| (name, half))) {
            let [mut fused, mut libtorch, mut reference] =
                [Implementation::Fused, Implementation::Libtorch, Implementation::Reference]
                    .map(|implementation| Rig::new(name, kind, implementation, half));
            for (step, factor) in [(0, 1.0), (1, 0.25), (2, 1.0)] {
                [&fused, &libtorch, &reference].iter().for_each(|rig| rig.give(step));
                let alone = gradients::sums(&fused.tensors).unwrap();
                let [fused, libtorch, reference] = [&mut fused, &mut libtorch, &mut reference]
                    .map(|rig| rig.measured(ALL, GradScale::Factor(factor)));
                let context = format!("{name} in {kind:?}, {half:?}, step {step}");
                for (id, alone) in
                    Rig::new(name, kind, Implementation::Fused, half).ids().into_iter().zip(alone)
                {
                    assert_eq!(fused.gradient(id), alone, "{context}: the same bits");
                    let expected = all(&reference, id);
                    let momentum = name != "plain";
                    assert_eq!(
                        all(&fused, id).map(|sum| sum.is_some()),
                        expected.map(|sum| sum.is_some()),
                        "{context}"
                    );
                    assert_eq!(
                        expected.map(|sum| sum.is_some()),
                        [true, true, true, momentum, true, momentum && step > 0],
                        "{context}"
                    );
                    for found in [all(&fused, id), all(&libtorch, id)] {
                        // Adam's second moment of a small gradient is below the range of f16, so a pass of its own
                        // over the rounded one finds another update.
                        let lost = kind == Kind::Half && half == HalfPrecision::AsParameter;
                        let count = if lost { 4 } else { 5 };
                        // A sum of products that nearly cancel, of size lr·Σ|g| under Adam and below it under SGD.
                        let [found_progress, progress] = [found, expected].map(|sums| sums[5].unwrap_or(0.0));
                        let bound = moments_tolerance(kind);
                        let size = 0.05 * expected[0].unwrap_or(0.0);
                        assert!(
                            lost || (found_progress - progress).abs() <= bound * size,
                            "{context}: a progress of {found_progress} is not {progress} ± {bound} · {size}"
                        );
                        for (found, expected) in found.into_iter().zip(expected).take(count) {
                            // Half-precision moments are rounded before a pass of its own reads them.
                            let bound = moments_tolerance(kind);
                            let (found, expected) = (found.unwrap_or(0.0), expected.unwrap_or(0.0));
                            let off = (found - expected).abs() / expected.abs().max(1e-12);
                            assert!(off <= bound, "{context}: {found} is not {expected}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn only_requested_statistics_are_computed() {
    for implementation in [Implementation::Fused, Implementation::Libtorch, Implementation::Reference] {
        for bits in 0..32 {
            let has = |bit: i32| bits & bit != 0;
            let requested = StatsRequest {
                gradients: has(1),
                moment_input: has(2),
                moments: has(4),
                updates: has(8),
                progress: has(16),
                rates: false,
            };
            let mut rig = Rig::new("adam", Kind::Float, implementation, HalfPrecision::AsParameter);
            // A progress needs an update before.
            rig.give(0);
            rig.optimizer.step().unwrap();
            rig.give(1);
            let sums = rig.measured(requested, GradScale::Factor(1.0));
            for id in rig.ids() {
                assert!(sums.has_gradient(id));
                let expected = [has(1), has(1), has(2), has(4), has(8), has(16)];
                assert_eq!(
                    all(&sums, id).map(|sum| sum.is_some()),
                    expected,
                    "{implementation:?}, {requested:?}"
                );
            }
        }
    }
}

#[test]
fn a_parameter_without_a_gradient_is_reported_and_left_alone() {
    for implementation in [Implementation::Fused, Implementation::Libtorch, Implementation::Reference] {
        let kinds = [Kind::Float, Kind::BFloat16];
        let cases = NAMES.into_iter().flat_map(|name| HALVES.map(|half| (name, half)));
        for ((name, half), kind) in cases.flat_map(|case| kinds.map(|kind| (case, kind))) {
            // Either of them, at the first step and after it.
            for (without, with) in [(0, 1), (1, 0)] {
                let mut rig = Rig::new(name, kind, implementation, half);
                let mut alone = Rig::new(name, kind, implementation, half);
                let before = elements(&rig.tensors[without]);
                let context = format!("{implementation:?}, {name}, {kind:?}, {half:?}, without {without}");
                for step in 1..=3 {
                    rig.give(step);
                    gradients::undefine(&[&rig.tensors[without]]).unwrap();
                    let sums = rig.measured(ALL, GradScale::Factor(1.0));
                    let ids = rig.ids();
                    assert!(sums.has_gradient(ids[with]) && !sums.has_gradient(ids[without]), "{context}");
                    assert_eq!(all(&sums, ids[without]), [None; 6], "{context}");
                    assert_eq!(elements(&rig.tensors[without]), before, "{context}");
                    alone.give(step);
                    alone.optimizer.step().unwrap();
                    assert!(rig.tensors[with].equal(&alone.tensors[with]), "{context}: its own gradient");
                }
                rig.give(4);
                rig.optimizer.step().unwrap();
                assert_ne!(
                    elements(&rig.tensors[without]),
                    before,
                    "{context}: it trains with its first gradient"
                );
            }
        }
    }
}

#[test]
fn scaling_in_the_update_is_scaling_before_it() {
    for name in NAMES {
        let make = || Rig::new(name, Kind::Float, Implementation::Fused, HalfPrecision::AsParameter);
        let [mut inside, mut before, mut by_tensor] = [make(), make(), make()];
        let mut libtorch = Rig::new(name, Kind::Float, Implementation::Libtorch, HalfPrecision::AsParameter);
        let divisor = Tensor::from(8f32);
        for step in 0..3 {
            [&inside, &before, &by_tensor, &libtorch].iter().for_each(|rig| rig.give(step));
            inside.measured(ALL, GradScale::Factor(0.125));
            gradients::scale(&before.tensors, 0.125).unwrap();
            before.optimizer.step().unwrap();
            by_tensor.measured(ALL, GradScale::Divisor(&divisor));
            libtorch.measured(ALL, GradScale::Divisor(&divisor));
            for index in 0..2 {
                assert!(inside.tensors[index].equal(&before.tensors[index]), "{name}, step {step}");
                assert!(inside.tensors[index].equal(&by_tensor.tensors[index]), "{name}, step {step}");
                let [a, b] = [&inside, &libtorch].map(|rig| elements(&rig.tensors[index]));
                assert!(distance(&a, &b) < OPTIMIZER_STEPS.tolerance(Kind::Float), "{name}, step {step}");
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let threads = tch::get_num_threads();
    let runs = [1, 2, 3].map(|count| {
        tch::set_num_threads(count);
        let mut rig = Rig::new("adam", Kind::Float, Implementation::Fused, HalfPrecision::AsParameter);
        let sums: Vec<_> = (0..3)
            .map(|step| {
                rig.give(step);
                let sums = rig.measured(ALL, GradScale::Factor(0.5));
                rig.ids().into_iter().map(|id| all(&sums, id)).collect::<Vec<_>>()
            })
            .collect();
        (sums, rig.tensors.iter().map(elements).collect::<Vec<_>>())
    });
    tch::set_num_threads(threads);
    assert_eq!(runs[0], runs[1]);
    assert_eq!(runs[0], runs[2]);
}

/// The distance between f32 neighbours at this magnitude.
fn ulp(x: f64) -> f64 {
    let x = (x.abs() as f32).max(f32::MIN_POSITIVE);
    f64::from(f32::from_bits(x.to_bits() + 1)) - f64::from(x)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // The bound that Adam's documentation names, over one update from nothing.
    #[test]
    fn an_update_is_within_its_bound_of_the_reference(
        weights in prop::collection::vec(-4f32..4.0, 64), scale in -12i32..12, wd in 0.0f64..0.5,
        seed in 0u64..1000, decoupled: bool,
    ) {
        let stores = [Implementation::Fused, Implementation::Reference].map(|implementation| {
            let vs = VarStore::new(Device::Cpu);
            let tensor = add(&vs, "w", 0, &Tensor::from_slice(&weights));
            let config = if decoupled { AdamConfig::adamw() } else { AdamConfig::adam() };
            let mut optimizer = config.wd(wd).implementation(implementation).build(&vs, 0.01).unwrap();
            let gradient = |i: i64| (((i as u64 * 37 + seed) % 101) as f64 - 50.0) / 50.0 * f64::from(scale).exp2();
            give(&tensor, &values(&[64], Kind::Float, Device::Cpu, gradient));
            optimizer.step().unwrap();
            elements(&tensor)
        });
        for (index, (a, b)) in stores[0].iter().zip(&stores[1]).enumerate() {
            let update = (b - f64::from(weights[index])).abs().max(0.01);
            let bound = 4.0 * ulp(update) + ulp(b.abs().max(f64::from(weights[index]).abs()));
            prop_assert!((a - b).abs() <= bound, "{a} is not {b} within {bound}");
        }
    }
}

#[test]
fn every_half_precision_number_comes_back_as_it_was() {
    // An update by nothing reads each number in f32 and rounds it back.
    for kind in [Kind::BFloat16, Kind::Half] {
        let bits = Tensor::arange(65536, (Kind::Int, Device::Cpu)).to_kind(Kind::Int16);
        let numbers = bits.view_dtype(kind);
        let vs = VarStore::new(Device::Cpu);
        let tensor = add(&vs, "w", 0, &numbers);
        let mut sgd = SgdConfig::new().build(&vs, 0.0).unwrap();
        give(&tensor, &Tensor::ones([65536], (kind, Device::Cpu)));
        sgd.step().unwrap();
        let found = tensor.detach();
        let nan = numbers.isnan();
        assert!(found.isnan().equal(&nan), "{kind:?}: a NaN stays one, and nothing becomes one");
        let kept = found.view_dtype(Kind::Int16).eq_tensor(&bits).logical_or(&nan);
        assert!(bool::try_from(kept.all()).unwrap(), "{kind:?}");
    }
}

#[test]
fn half_precision_is_rounded_to_nearest_even() {
    // w − 1·g in f32, rounded once: over sums that lie between two numbers, at ties, below the normal numbers, too large.
    for kind in [Kind::BFloat16, Kind::Half] {
        let n = 1 << 16;
        let spread = |salt: i64| {
            values(&[n], Kind::Float, Device::Cpu, move |i| {
                let exponent = ((i * 7 + salt) % 48 - 30) as f64;
                (((i * salt) % 257) as f64 - 128.0) / 64.0 * exponent.exp2()
            })
            .to_kind(kind)
        };
        let (weights, gradient) = (spread(31), spread(87));
        let vs = VarStore::new(Device::Cpu);
        let tensor = add(&vs, "w", 0, &weights);
        let mut sgd = SgdConfig::new().build(&vs, 1.0).unwrap();
        give(&tensor, &gradient);
        sgd.step().unwrap();
        let expected = (weights.to_kind(Kind::Float) - gradient.to_kind(Kind::Float)).to_kind(kind);
        assert!(tensor.detach().equal(&expected), "{kind:?}");
    }
}

#[test]
fn master_weights_move_by_less_than_a_parameter_can() {
    for implementation in [Implementation::Fused, Implementation::Libtorch, Implementation::Reference] {
        for (half, moved) in [(HalfPrecision::FloatState, 0.0), (HalfPrecision::MasterWeights, 0.25)] {
            let vs = VarStore::new(Device::Cpu);
            let tensor = add(&vs, "w", 0, &values(&[40], Kind::BFloat16, Device::Cpu, |_| 1.0));
            let mut sgd = SgdConfig::new()
                .half_precision(half)
                .implementation(implementation)
                .build(&vs, 2e-3)
                .unwrap();
            for _ in 0..125 {
                give(&tensor, &values(&[40], Kind::BFloat16, Device::Cpu, |_| 1.0));
                sgd.step().unwrap();
            }
            // Half a unit in the last place below 1 is 2⁻⁹; each step is a little more than 2⁻⁹ ÷ 1.
            let expected = 1.0 - moved;
            let found = elements(&tensor);
            let all = found.iter().all(|found| (found - expected).abs() <= 0.005);
            assert_eq!(
                all,
                half == HalfPrecision::MasterWeights,
                "{implementation:?}, {half:?}: {}",
                found[0]
            );
            assert_eq!(
                sgd.memory().master_weights,
                if half == HalfPrecision::MasterWeights { 160 } else { 0 }
            );
        }
    }
}

#[test]
fn a_second_moment_in_f32_falls_where_one_in_bf16_stands_still() {
    let last = |half: HalfPrecision| {
        let vs = VarStore::new(Device::Cpu);
        let tensor = add(&vs, "w", 0, &values(&[8], Kind::BFloat16, Device::Cpu, |_| 1.0));
        let mut adam = AdamConfig::adamw().half_precision(half).build(&vs, 1e-3).unwrap();
        for step in 0..400 {
            let gradient = if step == 0 { 1.0 } else { 0.0 };
            give(&tensor, &values(&[8], Kind::BFloat16, Device::Cpu, |_| gradient));
            adam.step().unwrap();
        }
        let (_, _, square) = adam.state().find(|(_, field, _)| *field == "exp_avg_sq").unwrap();
        assert_eq!(square.kind() == Kind::Float, half != HalfPrecision::AsParameter);
        elements(square)[0]
    };
    let expected = 0.001 * 0.999f64.powi(399);
    assert!((last(HalfPrecision::FloatState) / expected - 1.0).abs() < LONG_MOMENT);
    assert!((last(HalfPrecision::MasterWeights) / expected - 1.0).abs() < LONG_MOMENT);
    assert!(last(HalfPrecision::AsParameter) / expected > 1.4);
}

#[test]
fn a_momentum_that_comes_later_finds_every_parameter() {
    // One parameter has no gradient at the step at which it gets a momentum.
    let mut rig = Rig::new("plain", Kind::BFloat16, Implementation::Fused, HalfPrecision::MasterWeights);
    rig.give(1);
    rig.optimizer.step().unwrap();
    rig.optimizer.set(None, Momentum, 0.9).unwrap();
    rig.give(2);
    gradients::undefine(&[&rig.tensors[1]]).unwrap();
    rig.optimizer.step().unwrap();
    for step in 3..=4 {
        let before = elements(&rig.tensors[1]);
        rig.give(step);
        rig.optimizer.step().unwrap();
        assert_ne!(elements(&rig.tensors[1]), before, "step {step}");
    }
}

#[test]
fn a_parameter_that_is_no_half_precision_any_more_is_an_error_where_there_is_a_master() {
    let mut vs = VarStore::new(Device::Cpu);
    let tensor = add(&vs, "w", 0, &values(&[40], Kind::BFloat16, Device::Cpu, |_| 1.0));
    let half = HalfPrecision::MasterWeights;
    let mut sgd = SgdConfig::new().momentum(0.5).half_precision(half).build(&vs, 0.1).unwrap();
    give(&tensor, &values(&[40], Kind::BFloat16, Device::Cpu, |_| 1.0));
    sgd.step().unwrap();
    vs.float();
    give(&tensor, &values(&[40], Kind::Float, Device::Cpu, |_| 1.0));
    let error = sgd.step().unwrap_err().to_string();
    assert!(error.contains("kind"), "{error}");
}

#[test]
fn autograd_notices_that_a_step_came_between() {
    let vs = VarStore::new(Device::Cpu);
    let tensor = add(&vs, "w", 0, &values(&[4], Kind::Float, Device::Cpu, |_| 1.0));
    let mut sgd = SgdConfig::new().build(&vs, 0.1).unwrap();
    let loss = (&tensor * &tensor).sum(Kind::Float);
    give(&tensor, &values(&[4], Kind::Float, Device::Cpu, |_| 1.0));
    sgd.step().unwrap();
    let error = loss.f_backward().unwrap_err().to_string();
    assert!(error.contains("modified by an inplace operation"), "{error}");
}
