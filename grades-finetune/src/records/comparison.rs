//! `compare.json`: the result of a comparison.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::average::Average;
use super::json::read_file;
use super::metric::Metric;
use super::numbers::{Numbers, Quantity};
use super::overhead::Overhead;
use super::summary::StopReason;

/// Several ways to train, each over several seeds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The name of the row that the others are compared with; empty where none is named.
    #[serde(default)]
    pub baseline: String,
    /// The command that made it.
    #[serde(default)]
    pub command: String,
    /// The version of the program that made it.
    #[serde(default)]
    pub version: String,
    /// The threads that libtorch used.
    #[serde(default)]
    pub threads: i32,
    /// The seeds.
    #[serde(default)]
    pub seeds: Vec<u64>,
    /// The target of [`Quantity::SecondsToTarget`] and its like.
    #[serde(default)]
    pub target: Option<Target>,
    /// The rows, in the order in which they were asked for.
    pub rows: Vec<ComparisonRow>,
    /// Runs that failed, or are missing.
    #[serde(default)]
    pub failures: Vec<Failure>,
}

/// The result of the baseline: the mean over seeds at the end of its runs, on `data.eval`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The accuracy, or the loss where there is none.
    pub metric: Metric,
    /// Its value.
    pub value: f64,
}

/// A run that is not among the results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its row.
    pub row: String,
    /// Its seed.
    pub seed: u64,
    /// Why.
    pub reason: String,
}

/// One way to train, with its runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ComparisonRow {
    /// Its short name.
    pub name: String,
    /// Its name for readers; empty where the short one does.
    #[serde(default)]
    pub label: String,
    /// Its runs, by seed.
    #[serde(default)]
    pub runs: Vec<RunResult>,
    /// The means over seeds; null where not every run has the number.
    #[serde(default)]
    pub mean: Numbers,
    /// The sample standard deviations over seeds.
    #[serde(default)]
    pub spread: Numbers,
    /// Runs that reached the target.
    #[serde(default)]
    pub reached_target: usize,
    /// The differences to the baseline, seed by seed.
    #[serde(default)]
    pub paired: BTreeMap<Quantity, Paired>,
    /// Of rows with adapters, the differences to the row `lora`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paired_with_lora: BTreeMap<Quantity, Paired>,
    /// Its cost, in shares of the baseline's.
    #[serde(default)]
    pub savings: Savings,
    /// The overhead of watching gradients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Overhead>,
}

/// One run of a row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Its seed.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Its folder, relative to that of the comparison.
    #[serde(default)]
    pub folder: String,
    /// Why it ended; `None` when it has not.
    #[serde(default)]
    pub ended: Option<StopReason>,
    /// Its numbers.
    #[serde(flatten)]
    pub numbers: Numbers,
}

/// The differences of two rows, seed by seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// The mean difference.
    pub mean: f64,
    /// Its standard error: the sample standard deviation of the differences ÷ √n; `None` of one seed.
    pub standard_error: Option<f64>,
    /// The seeds that both rows have.
    pub n: usize,
}

/// Mean of a row ÷ mean of the baseline, over the seeds that both have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Savings {
    /// Seconds of a step: what cheaper steps save.
    pub seconds_per_step: Option<f64>,
    /// Steps: what fewer of them save.
    pub steps: Option<f64>,
    /// Training seconds: both together.
    pub train_seconds: Option<f64>,
    /// Processor seconds in training, which other work on the machine disturbs less.
    pub train_cpu_seconds: Option<f64>,
    /// Seconds that a user pays for.
    pub cost_seconds: Option<f64>,
    /// FLOPs that a user pays for.
    pub cost_flops: Option<f64>,
}

impl Comparison {
    /// The file's name in a comparison's folder.
    pub const FILE: &str = "compare.json";

    /// Reads `compare.json`.
    ///
    /// # Errors
    ///
    /// When it cannot be read or is no comparison; the error names it.
    pub fn read(path: &Path) -> Result<Self> {
        let read = read_file(path, "what finetune compare writes, with the key rows")?;
        let comparison: Self = read.with_context(|| format!("{} does not exist", path.display()))?;
        if comparison.rows.is_empty() {
            bail!("{}: there are no rows", path.display());
        }
        Ok(comparison)
    }

    /// Returns the row of a name.
    pub fn row(&self, name: &str) -> Option<&ComparisonRow> {
        self.rows.iter().find(|row| row.name == name)
    }
}

impl ComparisonRow {
    /// Returns its name for readers.
    pub fn label(&self) -> &str {
        if self.label.is_empty() { &self.name } else { &self.label }
    }

    /// Averages a number over the runs; `None` where not every run has it.
    pub fn average(&self, of: impl Fn(&Numbers) -> Option<f64>) -> Option<Average> {
        Average::of(self.runs.iter().map(|run| of(&run.numbers)))
    }
}
