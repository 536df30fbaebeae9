//! `compare.json`, and comparisons made of run folders.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::run::{EvaluationLine, RunData};

/// Several ways to train, each over several seeds.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Comparison {
    /// What it is called.
    #[serde(default)]
    pub title: Option<String>,
    /// The rows.
    pub rows: Vec<ComparisonRow>,
    /// The name of the row that the others are compared with.
    #[serde(default)]
    pub baseline: Option<String>,
    /// The command that does it again.
    #[serde(default)]
    pub command: Option<String>,
    /// What the time to reach is about.
    #[serde(default)]
    pub target: Option<Target>,
    /// Runs that failed, or are missing.
    #[serde(default)]
    pub failures: Vec<Failure>,
}

/// A run that is not among the results.
#[derive(Debug, Clone, Deserialize)]
pub struct Failure {
    /// Its row.
    pub row: String,
    /// Its seed.
    pub seed: u64,
    /// Why.
    pub reason: String,
}

/// What the baseline reached.
#[derive(Debug, Clone, Deserialize)]
pub struct Target {
    /// `accuracy` or `loss`, on the examples for evaluation.
    pub metric: String,
    /// Its value.
    pub value: f64,
}

/// What watching gradients costs.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Monitoring {
    /// How much longer a step takes with it, in per cent.
    pub percent: f64,
}

/// One way to train.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ComparisonRow {
    /// Its short name.
    pub name: String,
    /// What a reader is shown.
    #[serde(default)]
    pub label: Option<String>,
    /// A run for each seed.
    #[serde(default)]
    pub runs: Vec<RowRun>,
    /// What watching gradients costs its steps.
    #[serde(default)]
    pub monitoring: Option<Monitoring>,
}

/// One run of a row.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct RowRun {
    /// Its seed.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Its folder.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// Why it ended.
    #[serde(default)]
    pub ended: Option<String>,
    /// What was measured.
    #[serde(flatten)]
    pub measured: Measured,
    /// Its evaluations, read from its folder.
    #[serde(skip)]
    pub evaluations: Vec<EvaluationLine>,
}

/// The numbers of one run; what was not measured is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Measured {
    /// Optimizer steps.
    pub steps: Option<f64>,
    /// Optimizer steps that were planned.
    pub planned_steps: Option<f64>,
    /// Seconds in training steps, monitoring left out where it is known apart.
    pub train_seconds: Option<f64>,
    /// Seconds in evaluations.
    pub eval_seconds: Option<f64>,
    /// Seconds in monitoring.
    pub monitor_seconds: Option<f64>,
    /// Seconds from start to end.
    pub wall_seconds: Option<f64>,
    /// Seconds that whoever trains so has to spend: evaluations that only show how a run goes are left out.
    pub cost_seconds: Option<f64>,
    /// Floating-point operations in training.
    pub flops: Option<f64>,
    /// Those that whoever trains so has to spend, as with [`cost_seconds`](Self::cost_seconds).
    pub cost_flops: Option<f64>,
    /// Floating-point operations that freezing removed.
    pub flops_saved: Option<f64>,
    /// The largest resident size.
    pub peak_memory_bytes: Option<f64>,
    /// Accuracy on the examples for evaluation.
    pub eval_accuracy: Option<f64>,
    /// Loss on them.
    pub eval_loss: Option<f64>,
    /// Accuracy on the test examples.
    pub test_accuracy: Option<f64>,
    /// Loss on them.
    pub test_loss: Option<f64>,
    /// Seconds until the baseline's accuracy was reached.
    pub seconds_to_target: Option<f64>,
}

/// Mean and sample standard deviation; `None` when there is none, or one of them was not measured.
fn mean_and_spread(values: impl Iterator<Item = Option<f64>>) -> Option<(f64, f64)> {
    let values: Vec<f64> =
        values.map(|value| value.filter(|value| value.is_finite())).collect::<Option<_>>()?;
    if values.is_empty() {
        return None;
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((mean, if values.len() > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 }))
}

impl Measured {
    /// The time that counts: what has to be spent, where that is known apart, else all of it.
    pub fn time(&self) -> Option<f64> {
        self.cost_seconds.or(self.wall_seconds)
    }

    /// The operations that count, likewise.
    pub fn operations(&self) -> Option<f64> {
        self.cost_flops.or(self.flops)
    }
}

impl ComparisonRow {
    /// What a reader is shown.
    pub fn label(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.name)
    }

    /// Mean and sample standard deviation over the seeds; `None` where not every run has the number.
    pub fn mean(&self, of: impl Fn(&Measured) -> Option<f64>) -> Option<(f64, f64)> {
        mean_and_spread(self.runs.iter().map(|run| of(&run.measured)))
    }
}

impl Comparison {
    /// Reads `compare.json`, or the folder that has one, and the evaluations of the runs that are still there.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is no comparison.
    pub fn read(path: &Path) -> Result<Self> {
        let path = if path.is_dir() { path.join("compare.json") } else { path.to_path_buf() };
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut comparison: Self = serde_json::from_str(&text).with_context(|| {
            format!("{}: expected what finetune compare writes, with the key rows", path.display())
        })?;
        if comparison.rows.is_empty() {
            bail!("{}: there are no rows", path.display());
        }
        let beside = path.parent().unwrap_or(Path::new("."));
        for run in comparison.rows.iter_mut().flat_map(|row| &mut row.runs) {
            let Some(folder) = &run.folder else { continue };
            // Beside the file, from where finetune was run, or beside the file when all was moved.
            let places = [beside.join(folder), folder.clone()];
            let moved = folder.file_name().map(|name| beside.join(name));
            let place = places.into_iter().chain(moved).find(|place| place.join("config.toml").is_file());
            if let Some(data) = place.map(|place| RunData::read(&place)).transpose()? {
                run.evaluations = data.evaluations;
            }
        }
        Ok(comparison)
    }

    /// Compares run folders: runs whose configurations differ in nothing but seed and folder are one row.
    pub fn of_runs(runs: &[RunData]) -> Self {
        let mut rows: Vec<(toml::Table, ComparisonRow)> = Vec::new();
        for run in runs {
            let mut table = run.table();
            let mut seed = None;
            table.remove("output");
            if let Some(toml::Value::Table(training)) = table.get_mut("training") {
                seed = training.remove("seed").and_then(|seed| seed.as_integer());
            }
            let place = rows.iter().position(|(known, _)| *known == table).unwrap_or_else(|| {
                rows.push((table, ComparisonRow { name: run.name.clone(), ..ComparisonRow::default() }));
                rows.len() - 1
            });
            let get = |key| run.number(key);
            rows[place].1.runs.push(RowRun {
                seed: seed.and_then(|seed| u64::try_from(seed).ok()),
                folder: Some(run.folder.clone()),
                ended: run.text("ended").map(str::to_owned),
                measured: Measured {
                    steps: Some(run.last_step() as f64),
                    planned_steps: get("planned_steps"),
                    train_seconds: get("train_seconds").or(run.steps.last().map(|line| line.seconds)),
                    eval_seconds: get("eval_seconds"),
                    monitor_seconds: get("monitor_seconds"),
                    wall_seconds: get("wall_seconds"),
                    cost_seconds: get("cost_seconds"),
                    flops: get("flops"),
                    cost_flops: get("cost_flops"),
                    flops_saved: get("flops_saved")
                        .or_else(|| Some(get("flops_without_freezing")? - get("flops")?)),
                    peak_memory_bytes: get("peak_memory_bytes"),
                    eval_accuracy: get("eval_accuracy"),
                    eval_loss: get("eval_loss"),
                    test_accuracy: get("test_accuracy"),
                    test_loss: get("test_loss"),
                    seconds_to_target: get("seconds_to_target"),
                },
                evaluations: run.evaluations.clone(),
            });
        }
        Self { rows: rows.into_iter().map(|(_, row)| row).collect(), ..Self::default() }
    }

    /// The row that the others are compared with: the one that was named, else the first.
    pub fn baseline(&self) -> Option<&ComparisonRow> {
        let named = |row: &&ComparisonRow| Some(&row.name) == self.baseline.as_ref();
        self.rows.iter().find(named).or(self.rows.first())
    }
}
