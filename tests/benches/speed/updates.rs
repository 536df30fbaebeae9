//! An optimizer's step over matrices, with and without statistics.

use grades::component::{ComponentConfig, ComponentKind};
use grades::optim::{AdamConfig, Implementation, InnerOptimizer, SgdConfig};
use grades::policy::{Decision, FreezePolicy, Observation};
use grades::statistic::{Statistic, StatisticSet};
use grades::{FreezingConfig, FreezingOptimizer};
use serde_json::json;
use tch::nn::{OptimizerConfig, VarStore};
use tch::{Device, Kind, Tensor};

use crate::python::Python;
use crate::report::Report;
use crate::timing::{Contender, contest, milliseconds};

const COUNT: usize = 28;
const SIZE: i64 = 1024;
const ROUNDS: usize = 31;

/// Reads statistics of every component and freezes none.
#[derive(Debug, Clone)]
pub(crate) struct Watch(pub(crate) StatisticSet);

impl FreezePolicy for Watch {
    fn name(&self) -> &'static str {
        "watch"
    }

    fn statistics(&self) -> StatisticSet {
        self.0
    }

    fn decide(&mut self, _: &Observation<'_>) -> Decision {
        Decision::Keep
    }
}

/// So many square matrices with gradients that stay.
pub(crate) fn matrices(count: usize, size: i64, kind: Kind) -> VarStore {
    tch::manual_seed(1);
    let mut vs = VarStore::new(Device::Cpu);
    vs.set_kind(kind);
    for layer in 0..count {
        let value = (Tensor::randn([size, size], (Kind::Float, Device::Cpu)) * 0.02).to_kind(kind);
        let weight = (vs.root() / "layers" / layer).add("weight", value, true);
        let gradient = (Tensor::randn([size, size], (Kind::Float, Device::Cpu)) * 1e-3).to_kind(kind);
        (&weight * gradient).sum(kind).backward();
    }
    vs
}

/// The optimizer of this name around which the statistics are read.
pub(crate) fn wrapped(
    vs: &VarStore,
    inner: Box<dyn InnerOptimizer>,
    statistics: &[Statistic],
) -> FreezingOptimizer<Box<dyn InnerOptimizer>> {
    let components =
        ComponentConfig::default().with_pattern(r"layers\.(?<layer>\d+)\.weight", ComponentKind::Up).unwrap();
    let policy = Watch(StatisticSet::of(statistics.iter().copied()));
    let config = FreezingConfig::new(policy).with_components(components);
    FreezingOptimizer::new(inner, vs, &config, u64::MAX).unwrap()
}

fn ours(name: &str, vs: &VarStore, implementation: Implementation) -> Box<dyn InnerOptimizer> {
    let adam = |config: AdamConfig| config.implementation(implementation).build(vs, 1e-5).unwrap();
    match name {
        "adamw" => Box::new(adam(AdamConfig::adamw())),
        "adam" => Box::new(adam(AdamConfig::adam())),
        _ => Box::new(SgdConfig::new().momentum(0.9).implementation(implementation).build(vs, 1e-5).unwrap()),
    }
}

fn tchs(name: &str, vs: &VarStore) -> tch::nn::Optimizer {
    match name {
        "adamw" => tch::nn::AdamW::default().build(vs, 1e-5).unwrap(),
        "adam" => tch::nn::Adam::default().build(vs, 1e-5).unwrap(),
        _ => tch::nn::Sgd { momentum: 0.9, ..Default::default() }.build(vs, 1e-5).unwrap(),
    }
}

pub(crate) fn run(report: &mut Report) {
    let copied = bandwidth();
    let python = Python::start();
    for (kind, kind_name, bytes) in [(Kind::Float, "f32", 4.0), (Kind::BFloat16, "bf16", 2.0)] {
        for (name, passes) in [("adamw", 7.0), ("adam", 7.0), ("sgd", 5.0)] {
            let stores = [(); 5].map(|()| matrices(COUNT, SIZE, kind));
            let watching = |vs: &VarStore, statistics: &[Statistic]| {
                wrapped(vs, ours(name, vs, Implementation::Fused), statistics)
            };
            let mut plain = watching(&stores[0], &[]);
            let mut norms = watching(&stores[1], &[Statistic::GradL1]);
            let mut signal = watching(&stores[2], &[Statistic::SignalFraction]);
            let mut progress = watching(&stores[3], &[Statistic::Progress]);
            let mut theirs = tchs(name, &stores[4]);
            let mut contenders: Vec<Contender<'_>> = vec![
                ("ours".to_owned(), Box::new(|| milliseconds(|| drop(plain.step().unwrap())))),
                ("grad-l1".to_owned(), Box::new(|| milliseconds(|| drop(norms.step().unwrap())))),
                ("signal".to_owned(), Box::new(|| milliseconds(|| drop(signal.step().unwrap())))),
                ("progress".to_owned(), Box::new(|| milliseconds(|| drop(progress.step().unwrap())))),
                ("tch".to_owned(), Box::new(|| milliseconds(|| theirs.step()))),
            ];
            if let Some(python) = &python {
                let request = json!({"do": name, "kind": kind_name, "count": COUNT, "size": SIZE});
                contenders.push(("torch".to_owned(), Box::new(move || python.ask(&request))));
            }
            let times = contest(ROUNDS, &mut contenders);
            drop(contenders);
            let mut row = |what: &str, one: usize, other: (&str, usize), target: Option<f64>| {
                let label = format!("{name} {kind_name}, {what}");
                let ratio = times.ratio(one, other.1);
                let target = target.map(|target| (target, false));
                report.ratio(&label, times.of(one), (other.0, times.of(other.1)), "ms", ratio, target);
            };
            row("signal-fraction", 2, ("tch's own", 4), Some(0.30));
            row("grad-l1", 1, ("without statistics", 0), Some(1.03));
            row("signal-fraction", 2, ("without statistics", 0), Some(1.03));
            row("progress", 3, ("without statistics", 0), Some(1.05));
            if python.is_some() {
                row("without statistics", 0, ("PyTorch fused=True", 5), Some(1.05));
                row("signal-fraction", 2, ("PyTorch fused=True", 5), Some(1.05));
            }
            let moved = passes * bytes * (COUNT as f64) * (SIZE * SIZE) as f64;
            let speed = moved / times.of(2) / 1e6;
            report.ratio(
                &format!("{name} {kind_name}, signal-fraction, bytes moved"),
                speed,
                ("copying", copied),
                "GB/s",
                speed / copied,
                None,
            );
        }
    }
}

/// Measures the bandwidth of libtorch copies, in GB a second, counting what is read and what is written.
fn bandwidth() -> f64 {
    let from = Tensor::ones([COUNT as i64, SIZE, SIZE], (Kind::Float, Device::Cpu));
    let mut to = from.zeros_like();
    let times = contest(ROUNDS, &mut [("copy".to_owned(), Box::new(|| milliseconds(|| to.copy_(&from))))]);
    2.0 * 4.0 * (COUNT as f64) * (SIZE * SIZE) as f64 / times.of(0) / 1e6
}
