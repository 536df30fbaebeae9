//! Summarizes the runs of a comparison: means, spreads and differences to the baseline.

use std::collections::BTreeMap;

use super::paired::paired;
use super::read_run::FinishedRun;
use super::variants::{BASELINE, Variant};
use crate::records::{
    Comparison, ComparisonRow, Metric, Numbers, Overhead, Paired, Quantity, Savings, Target, mean,
    standard_deviation,
};

/// The quantities that are compared seed by seed.
const PAIRED: [Quantity; 11] = [
    Quantity::EvalAccuracy,
    Quantity::EvalLoss,
    Quantity::TestAccuracy,
    Quantity::TestLoss,
    Quantity::Steps,
    Quantity::TrainSeconds,
    Quantity::TrainCpuSeconds,
    Quantity::CostSeconds,
    Quantity::Flops,
    Quantity::CostFlops,
    Quantity::PeakMemoryBytes,
];

/// Summarizes the runs; `runs` has those of each variant, in order.
pub(super) fn summarize(
    variants: &[Variant],
    mut runs: Vec<Vec<FinishedRun>>,
    seeds: &[u64],
    overhead: &BTreeMap<&str, Overhead>,
) -> Comparison {
    let index = |name: &str| variants.iter().position(|variant| variant.name == name);
    let baseline = index(BASELINE);
    let lora = index("lora");
    for runs in &mut runs {
        runs.sort_by_key(|run| run.result.seed);
    }
    let target = baseline.and_then(|at| runs.get(at)).and_then(|runs| target(runs));
    if let Some(target) = target {
        for run in runs.iter_mut().flatten() {
            run.reach(target);
        }
    }
    let of = |at: Option<usize>| at.and_then(|at| runs.get(at)).map(Vec::as_slice).unwrap_or_default();
    let (baseline, lora) = (of(baseline), of(lora));
    let results = variants.iter().zip(&runs).map(|(variant, runs)| {
        let (mean, spread) = mean_and_spread(runs);
        let with_lora = variant.adapts() && variant.name != "lora";
        let ratio = |quantity| ratio(runs, baseline, quantity);
        let reached = |run: &&FinishedRun| run.number(Quantity::StepsToTarget).is_some();
        ComparisonRow {
            name: variant.name.clone(),
            label: variant.label.clone(),
            runs: runs.iter().map(|run| run.result.clone()).collect(),
            mean,
            spread,
            reached_target: runs.iter().filter(reached).count(),
            paired: if variant.name == BASELINE { BTreeMap::new() } else { differences(runs, baseline) },
            paired_with_lora: if with_lora { differences(runs, lora) } else { BTreeMap::new() },
            savings: Savings {
                seconds_per_step: ratio(Quantity::SecondsPerStep),
                steps: ratio(Quantity::Steps),
                train_seconds: ratio(Quantity::TrainSeconds),
                train_cpu_seconds: ratio(Quantity::TrainCpuSeconds),
                cost_seconds: ratio(Quantity::CostSeconds),
                cost_flops: ratio(Quantity::CostFlops),
            },
            monitoring: overhead.get(variant.name.as_str()).copied(),
        }
    });
    Comparison {
        baseline: BASELINE.to_owned(),
        command: String::new(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        threads: tch::get_num_threads(),
        seeds: seeds.to_vec(),
        target,
        rows: results.collect(),
        failures: Vec::new(),
    }
}

/// Returns the mean result of the baseline's runs: the accuracy, or the loss where there is none.
fn target(runs: &[FinishedRun]) -> Option<Target> {
    let all = |quantity| -> Option<Vec<f64>> { runs.iter().map(|run| run.number(quantity)).collect() };
    let of = |metric, quantity| {
        all(quantity).and_then(|values| mean(&values)).map(|value| Target { metric, value })
    };
    of(Metric::Accuracy, Quantity::EvalAccuracy).or_else(|| of(Metric::Loss, Quantity::EvalLoss))
}

fn mean_and_spread(runs: &[FinishedRun]) -> (Numbers, Numbers) {
    let (mut means, mut spreads) = (Numbers::default(), Numbers::default());
    let Some(first) = runs.first() else { return (means, spreads) };
    for quantity in first.result.numbers.quantities() {
        let values: Option<Vec<f64>> = runs.iter().map(|run| run.number(quantity)).collect();
        means.set(quantity, values.as_deref().and_then(mean));
        spreads.set(quantity, values.as_deref().and_then(standard_deviation));
    }
    (means, spreads)
}

/// Pairs a quantity of the runs by the seeds that both lists have.
fn pairs(runs: &[FinishedRun], others: &[FinishedRun], quantity: Quantity) -> Vec<(f64, f64)> {
    let other = |run: &FinishedRun| others.iter().find(|other| other.result.seed == run.result.seed);
    let pair = |run: &FinishedRun| run.number(quantity).zip(other(run)?.number(quantity));
    runs.iter().filter_map(pair).collect()
}

fn differences(runs: &[FinishedRun], others: &[FinishedRun]) -> BTreeMap<Quantity, Paired> {
    PAIRED.iter().filter_map(|quantity| Some((*quantity, paired(&pairs(runs, others, *quantity))?))).collect()
}

fn ratio(runs: &[FinishedRun], others: &[FinishedRun], quantity: Quantity) -> Option<f64> {
    let pairs = pairs(runs, others, quantity);
    let (own, other): (f64, f64) =
        pairs.iter().fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
    (other > 0.0).then(|| own / other)
}
