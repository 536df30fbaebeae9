//! What an optimizer step costs: ours with and without statistics beside tch's, interleaved, medians.
//!
//! `make bench` runs it, prints a table and writes `target/bench/step.json`: a list of rows `{name, ours, other, unit,
//! ratio, target, holds}`.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run says so by ending")]

use std::time::Instant;

use grades::optim::AdamConfig;
use grades::{
    ComponentConfig, ComponentKind, Decision, FreezePolicy, FreezingConfig, FreezingOptimizer, Observation,
    Statistic, StatisticSet,
};
use tch::nn::{OptimizerConfig, VarStore};
use tch::{Device, Kind, Tensor, nn};

const MATRICES: usize = 28;
const SIZE: i64 = 1024;
const ROUNDS: usize = 41;

/// Reads a statistic of every component and freezes none.
#[derive(Debug, Clone)]
struct Watch(StatisticSet);

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

/// Matrices with gradients that stay.
fn matrices() -> VarStore {
    tch::manual_seed(1);
    let vs = VarStore::new(Device::Cpu);
    for layer in 0..MATRICES {
        let path = vs.root() / "layers" / layer;
        let weight = path.var("weight", &[SIZE, SIZE], nn::Init::Randn { mean: 0.0, stdev: 0.02 });
        let gradient = Tensor::randn([SIZE, SIZE], (Kind::Float, Device::Cpu)) * 1e-3;
        (&weight * gradient).sum(Kind::Float).backward();
    }
    vs
}

fn wrapped(statistics: &[Statistic]) -> FreezingOptimizer<grades::optim::AdamW> {
    let vs = matrices();
    let components =
        ComponentConfig::default().with_pattern(r"layers\.(?<layer>\d+)\.weight", ComponentKind::Up).unwrap();
    let policy = Watch(StatisticSet::of(statistics.iter().copied()));
    let config = FreezingConfig::with_policy(policy).components(components);
    let inner = AdamConfig::adamw().build(&vs, 1e-5).unwrap();
    FreezingOptimizer::new(inner, &vs, &config, u64::MAX).unwrap()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A name, a step, and the times that it took.
type Run = (&'static str, Box<dyn FnMut()>, Vec<f64>);

fn main() {
    let vs = matrices();
    let mut theirs = nn::AdamW::default().build(&vs, 1e-5).unwrap();
    let mut plain = wrapped(&[]);
    let mut watched = wrapped(&[Statistic::GradL1]);
    let mut signal = wrapped(&[Statistic::SignalFraction]);
    let mut runs: [Run; 4] = [
        ("tch's nn::AdamW", Box::new(move || theirs.step()), Vec::new()),
        ("ours without statistics", Box::new(move || drop(plain.step().unwrap())), Vec::new()),
        ("ours with grad-l1", Box::new(move || drop(watched.step().unwrap())), Vec::new()),
        ("ours with signal-fraction", Box::new(move || drop(signal.step().unwrap())), Vec::new()),
    ];
    // The first round makes the state and is not counted.
    for round in 0..=ROUNDS {
        for (_, step, times) in &mut runs {
            let start = Instant::now();
            step();
            if round > 0 {
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    let [tch, plain, watched, signal] = runs.map(|(name, _, times)| (name, median(times)));
    println!("AdamW over {MATRICES} matrices of {SIZE}², f32, {} threads, ms", tch::get_num_threads());
    for (name, time) in [tch, plain, watched, signal] {
        println!("{name:<28} {time:8.2}");
    }
    let rows = [(plain, tch, 0.30), (watched, tch, 0.30), (watched, plain, 1.03), (signal, plain, 1.03)];
    let rows: Vec<_> = rows.map(|(ours, other, target)| row(ours, other, target)).into();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("step.json"), serde_json::to_string_pretty(&rows).unwrap()).unwrap();
}

fn row(ours: (&str, f64), other: (&str, f64), target: f64) -> serde_json::Value {
    let ratio = ours.1 / other.1;
    println!("{} ÷ {}: {ratio:.3}, target {target:.2}", ours.0, other.0);
    serde_json::json!({
        "name": format!("adamw step, {}", ours.0),
        "ours": ours.1,
        "other": format!("{}: {:.2}", other.0, other.1),
        "unit": "ms",
        "ratio": ratio,
        "target": target,
        "holds": ratio <= target,
    })
}
