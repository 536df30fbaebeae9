//! The result of a comparison: `compare.json`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::monitoring::MonitoringCost;
use super::numbers::Numbers;
use super::record::RunRecord;
use super::rows::{BASELINE, Row};
use super::statistics::{Paired, mean, paired, standard_deviation};
use crate::config::Metric;

/// A comparison, as it is written to `compare.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The row that the others are compared with, if it is there.
    pub baseline: &'static str,
    /// The command that made it.
    pub command: String,
    /// The version of this program.
    pub version: &'static str,
    /// The threads that libtorch uses.
    pub threads: i32,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// What `seconds_to_target` and the like are about.
    pub target: Option<Target>,
    /// The rows, in the order in which they were asked for.
    pub rows: Vec<RowResult>,
    /// Runs that failed, or are missing.
    pub failures: Vec<Failure>,
}

/// What the baseline reached: the mean over seeds at the end of its runs, on `data.eval`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Target {
    /// The accuracy, or the loss where there is none.
    pub metric: Metric,
    /// Its value.
    pub value: f64,
}

/// A run that is not among the results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Its row.
    pub row: String,
    /// Its seed.
    pub seed: u64,
    /// Why.
    pub reason: String,
}

/// A row with its runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowResult {
    /// Its short name.
    pub name: String,
    /// What it is, in words.
    pub label: String,
    /// Its runs, by seed.
    pub runs: Vec<RunRecord>,
    /// The means over seeds; null where not every run has the number.
    pub mean: Numbers,
    /// The sample standard deviations over seeds.
    pub spread: Numbers,
    /// How many runs reached the target.
    pub reached_target: usize,
    /// The differences to the baseline, seed by seed.
    pub paired: BTreeMap<&'static str, Paired>,
    /// Of rows with adapters, the differences to the row `lora`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub paired_with_lora: BTreeMap<&'static str, Paired>,
    /// What it saves, in shares of the baseline's.
    pub savings: Savings,
    /// What watching gradients costs its steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<MonitoringCost>,
}

/// Mean of a row ÷ mean of the baseline, over the seeds that both have.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Savings {
    /// Seconds of a step: what cheaper steps save.
    pub seconds_per_step: Option<f64>,
    /// Steps: what fewer of them save.
    pub steps: Option<f64>,
    /// Training seconds: both together.
    pub train_seconds: Option<f64>,
    /// Seconds of processors in training, which other work on the machine disturbs less.
    pub train_cpu_seconds: Option<f64>,
    /// Seconds with all that a user pays for.
    pub cost_seconds: Option<f64>,
    /// FLOPs with all that a user pays for.
    pub cost_flops: Option<f64>,
}

/// What is compared seed by seed.
const PAIRED: [&str; 11] = [
    "eval_accuracy",
    "eval_loss",
    "test_accuracy",
    "test_loss",
    "steps",
    "train_seconds",
    "train_cpu_seconds",
    "cost_seconds",
    "flops",
    "cost_flops",
    "peak_memory_bytes",
];

impl Comparison {
    /// Puts runs together; `runs` has those of each row.
    pub(super) fn new(
        rows: &[Row],
        mut runs: Vec<Vec<RunRecord>>,
        seeds: &[u64],
        monitoring: &BTreeMap<String, MonitoringCost>,
    ) -> Self {
        let place = |name: &str| rows.iter().position(|row| row.name == name);
        let baseline = place(BASELINE);
        let lora = place("lora");
        for runs in &mut runs {
            runs.sort_by_key(|run| run.seed);
        }
        let target = baseline.and_then(|at| runs.get(at)).and_then(|runs| target(runs));
        if let Some(target) = target {
            for run in runs.iter_mut().flatten() {
                run.reach(target.metric, target.value);
            }
        }
        let of = |at: Option<usize>| at.and_then(|at| runs.get(at)).map(Vec::as_slice).unwrap_or_default();
        let (baseline, lora) = (of(baseline), of(lora));
        let results = rows.iter().zip(&runs).map(|(row, runs)| {
            let (mean, spread) = summarize(runs);
            let with_lora = row.adapts() && row.name != "lora";
            RowResult {
                name: row.name.clone(),
                label: row.label.clone(),
                runs: runs.clone(),
                mean,
                spread,
                reached_target: runs
                    .iter()
                    .filter(|run| run.numbers.get("steps_to_target").is_some())
                    .count(),
                paired: if row.name == BASELINE { BTreeMap::new() } else { differences(runs, baseline) },
                paired_with_lora: if with_lora { differences(runs, lora) } else { BTreeMap::new() },
                savings: Savings {
                    seconds_per_step: ratio(runs, baseline, "seconds_per_step"),
                    steps: ratio(runs, baseline, "steps"),
                    train_seconds: ratio(runs, baseline, "train_seconds"),
                    train_cpu_seconds: ratio(runs, baseline, "train_cpu_seconds"),
                    cost_seconds: ratio(runs, baseline, "cost_seconds"),
                    cost_flops: ratio(runs, baseline, "cost_flops"),
                },
                monitoring: monitoring.get(&row.name).copied(),
            }
        });
        Self {
            baseline: BASELINE,
            command: String::new(),
            version: env!("CARGO_PKG_VERSION"),
            threads: tch::get_num_threads(),
            seeds: seeds.to_vec(),
            target,
            rows: results.collect(),
            failures: Vec::new(),
        }
    }

    /// The row of a name.
    pub fn row(&self, name: &str) -> Option<&RowResult> {
        self.rows.iter().find(|row| row.name == name)
    }
}

/// The mean of what the baseline's runs ended with: of the accuracy, or of the loss where there is none.
fn target(runs: &[RunRecord]) -> Option<Target> {
    let all = |name: &str| -> Option<Vec<f64>> { runs.iter().map(|run| run.numbers.get(name)).collect() };
    let of = |metric, name| all(name).and_then(|values| mean(&values)).map(|value| Target { metric, value });
    of(Metric::Accuracy, "eval_accuracy").or_else(|| of(Metric::Loss, "eval_loss"))
}

fn summarize(runs: &[RunRecord]) -> (Numbers, Numbers) {
    let (mut means, mut spreads) = (Numbers::default(), Numbers::default());
    let Some(first) = runs.first() else { return (means, spreads) };
    for name in first.numbers.names() {
        let values: Option<Vec<f64>> = runs.iter().map(|run| run.numbers.get(name)).collect();
        means.set(name, values.as_deref().and_then(mean));
        spreads.set(name, values.as_deref().and_then(standard_deviation));
    }
    (means, spreads)
}

/// A number of the runs with a seed that both lists have.
fn pairs(runs: &[RunRecord], others: &[RunRecord], name: &str) -> Vec<(f64, f64)> {
    let other = |seed: u64| others.iter().find(|other| other.seed == seed);
    let pair = |run: &RunRecord| run.numbers.get(name).zip(other(run.seed)?.numbers.get(name));
    runs.iter().filter_map(pair).collect()
}

fn differences(runs: &[RunRecord], others: &[RunRecord]) -> BTreeMap<&'static str, Paired> {
    PAIRED.iter().filter_map(|name| Some((*name, paired(&pairs(runs, others, name))?))).collect()
}

fn ratio(runs: &[RunRecord], others: &[RunRecord], name: &str) -> Option<f64> {
    let pairs = pairs(runs, others, name);
    let (own, other): (f64, f64) =
        pairs.iter().fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
    (other > 0.0).then(|| own / other)
}
