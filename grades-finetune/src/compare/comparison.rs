//! Puts the runs of a comparison together: means, spreads and differences to the baseline.

use std::collections::BTreeMap;

use super::record::RunRecord;
use super::rows::{BASELINE, Row};
use super::statistics::paired;
use crate::records::{
    Comparison, ComparisonRow, Metric, Numbers, Overhead, Paired, Quantity, Savings, Target, mean,
    standard_deviation,
};

/// What is compared seed by seed.
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

/// Puts the runs together; `runs` has those of each row.
pub(super) fn summarize(
    rows: &[Row],
    mut runs: Vec<Vec<RunRecord>>,
    seeds: &[u64],
    monitoring: &BTreeMap<String, Overhead>,
) -> Comparison {
    let place = |name: &str| rows.iter().position(|row| row.name == name);
    let baseline = place(BASELINE);
    let lora = place("lora");
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
    let results = rows.iter().zip(&runs).map(|(row, runs)| {
        let (mean, spread) = mean_and_spread(runs);
        let with_lora = row.adapts() && row.name != "lora";
        let ratio = |quantity| ratio(runs, baseline, quantity);
        let reached = |run: &&RunRecord| run.number(Quantity::StepsToTarget).is_some();
        ComparisonRow {
            name: row.name.clone(),
            label: row.label.clone(),
            runs: runs.iter().map(|run| run.result.clone()).collect(),
            mean,
            spread,
            reached_target: runs.iter().filter(reached).count(),
            paired: if row.name == BASELINE { BTreeMap::new() } else { differences(runs, baseline) },
            paired_with_lora: if with_lora { differences(runs, lora) } else { BTreeMap::new() },
            savings: Savings {
                seconds_per_step: ratio(Quantity::SecondsPerStep),
                steps: ratio(Quantity::Steps),
                train_seconds: ratio(Quantity::TrainSeconds),
                train_cpu_seconds: ratio(Quantity::TrainCpuSeconds),
                cost_seconds: ratio(Quantity::CostSeconds),
                cost_flops: ratio(Quantity::CostFlops),
            },
            monitoring: monitoring.get(&row.name).copied(),
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

/// The mean of the results of the baseline's runs: of the accuracy, or of the loss where there is none.
fn target(runs: &[RunRecord]) -> Option<Target> {
    let all = |quantity| -> Option<Vec<f64>> { runs.iter().map(|run| run.number(quantity)).collect() };
    let of = |metric, quantity| {
        all(quantity).and_then(|values| mean(&values)).map(|value| Target { metric, value })
    };
    of(Metric::Accuracy, Quantity::EvalAccuracy).or_else(|| of(Metric::Loss, Quantity::EvalLoss))
}

fn mean_and_spread(runs: &[RunRecord]) -> (Numbers, Numbers) {
    let (mut means, mut spreads) = (Numbers::default(), Numbers::default());
    let Some(first) = runs.first() else { return (means, spreads) };
    for quantity in first.result.numbers.quantities() {
        let values: Option<Vec<f64>> = runs.iter().map(|run| run.number(quantity)).collect();
        means.set(quantity, values.as_deref().and_then(mean));
        spreads.set(quantity, values.as_deref().and_then(standard_deviation));
    }
    (means, spreads)
}

/// A number of the runs with a seed that both lists have.
fn pairs(runs: &[RunRecord], others: &[RunRecord], quantity: Quantity) -> Vec<(f64, f64)> {
    let other = |run: &RunRecord| others.iter().find(|other| other.result.seed == run.result.seed);
    let pair = |run: &RunRecord| run.number(quantity).zip(other(run)?.number(quantity));
    runs.iter().filter_map(pair).collect()
}

fn differences(runs: &[RunRecord], others: &[RunRecord]) -> BTreeMap<Quantity, Paired> {
    PAIRED.iter().filter_map(|quantity| Some((*quantity, paired(&pairs(runs, others, *quantity))?))).collect()
}

fn ratio(runs: &[RunRecord], others: &[RunRecord], quantity: Quantity) -> Option<f64> {
    let pairs = pairs(runs, others, quantity);
    let (own, other): (f64, f64) =
        pairs.iter().fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
    (other > 0.0).then(|| own / other)
}
