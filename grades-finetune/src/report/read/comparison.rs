//! `compare.json`, and comparisons made of run folders.

use std::path::Path;

use anyhow::Result;

use super::run::RunData;
use crate::records::{Comparison, ComparisonRow, EvalRecord, Numbers, Quantity, RunResult};

/// A comparison, and the evaluations of those of its runs that are still there.
#[derive(Debug, Clone, Default)]
pub struct ComparisonData {
    /// The result.
    pub result: Comparison,
    /// The evaluations, run by run.
    pub curves: Vec<Curve>,
}

/// The evaluations of one run.
#[derive(Debug, Clone)]
pub struct Curve {
    /// The row's position.
    pub row: usize,
    /// The run's seed.
    pub seed: Option<u64>,
    /// Its evaluations, in order.
    pub evaluations: Vec<EvalRecord>,
}

/// Returns the time that counts: what a user pays for, where that is known apart, else all of it.
pub(in crate::report) fn time(numbers: &Numbers) -> Option<f64> {
    numbers.get(Quantity::CostSeconds).or(numbers.get(Quantity::WallSeconds))
}

/// Returns the operations that count, likewise.
pub(in crate::report) fn operations(numbers: &Numbers) -> Option<f64> {
    numbers.get(Quantity::CostFlops).or(numbers.get(Quantity::Flops))
}

impl ComparisonData {
    /// Reads `compare.json`, or the folder that has one, and the evaluations of the runs that are still there.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is no comparison.
    pub fn read(path: &Path) -> Result<Self> {
        let path = if path.is_dir() { path.join(Comparison::FILE) } else { path.to_path_buf() };
        let result = Comparison::read(&path)?;
        let beside = path.parent().unwrap_or(Path::new("."));
        let mut curves = Vec::new();
        for (row, run) in
            result.rows.iter().enumerate().flat_map(|(at, row)| row.runs.iter().map(move |run| (at, run)))
        {
            let folder = Path::new(&run.folder);
            // Beside the file, from where finetune was run, or beside the file when all was moved.
            let places = [beside.join(folder), folder.to_path_buf()];
            let moved = folder.file_name().map(|name| beside.join(name));
            let mut places = places.into_iter().chain(moved);
            let Some(place) = places.find(|place| place.join("config.toml").is_file()) else { continue };
            curves.push(Curve { row, seed: run.seed, evaluations: RunData::read(&place)?.evaluations });
        }
        Ok(Self { result, curves })
    }

    /// Compares run folders: runs whose configurations differ in nothing but seed and folder are one row.
    pub fn of_runs(runs: &[RunData]) -> Self {
        let mut rows: Vec<(toml::Table, ComparisonRow)> = Vec::new();
        let mut curves = Vec::new();
        for run in runs {
            let mut table = run.table();
            let mut seed = None;
            table.remove("output");
            if let Some(toml::Value::Table(training)) = table.get_mut("training") {
                seed = training.remove("seed").and_then(|seed| seed.as_integer());
            }
            let seed = seed.and_then(|seed| u64::try_from(seed).ok());
            let place = rows.iter().position(|(known, _)| *known == table).unwrap_or_else(|| {
                rows.push((table, ComparisonRow { name: run.name.clone(), ..ComparisonRow::default() }));
                rows.len() - 1
            });
            let mut numbers = run.summary.as_ref().map(Numbers::of).unwrap_or_default();
            numbers.set(Quantity::Steps, Some(run.last_step() as f64));
            if run.summary.is_none() {
                numbers.set(Quantity::TrainSeconds, run.steps.last().map(|line| line.work.seconds));
            }
            rows[place].1.runs.push(RunResult {
                seed,
                folder: run.folder.display().to_string(),
                ended: run.summary.as_ref().map(|summary| summary.ended),
                numbers,
            });
            curves.push(Curve { row: place, seed, evaluations: run.evaluations.clone() });
        }
        let rows = rows.into_iter().map(|(_, row)| row).collect();
        Self { result: Comparison { rows, ..Comparison::default() }, curves }
    }

    /// Returns whether a row has several runs, so that something is known of the spread.
    pub(in crate::report) fn has_spread(&self) -> bool {
        self.result.rows.iter().any(|row| row.runs.len() > 1)
    }

    /// Returns the row that the others are compared with: the one that is named, else the first.
    pub fn baseline(&self) -> Option<&ComparisonRow> {
        self.result.row(&self.result.baseline).or(self.result.rows.first())
    }
}
