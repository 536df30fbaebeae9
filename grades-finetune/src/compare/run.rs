//! The comparison itself, from rows to results.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use toml::{Table, Value};

use super::comparison::summarize;
use super::folder::{ComparisonFolder, inputs};
use super::monitoring::read_overhead;
use super::order::order;
use super::process::{Ended, last_line, run as run_process};
use super::record::RunRecord;
use super::rows::Row;
use super::table::markdown;
use crate::causes::with_causes;
use crate::config::Document;
use crate::log::{Progress, duration};
use crate::records::{Comparison, Failure, Overhead, Quantity, StopReason, mean};
use crate::report::write_comparison_report;
use crate::run::Interrupt;

/// What is compared, and where.
#[derive(Debug)]
pub struct Options {
    /// The configuration that the rows were made of.
    pub base: Table,
    /// The rows.
    pub rows: Vec<Row>,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// The comparison's folder.
    pub folder: PathBuf,
    /// Whether the models that were trained are kept.
    pub keep_models: bool,
    /// Steps in which the cost of watching gradients is measured; 0 does not measure it.
    pub monitoring_steps: u64,
    /// The program whose `train` makes the runs.
    pub program: PathBuf,
    /// The command, for the record.
    pub command: String,
}

/// How a comparison ended.
#[derive(Debug)]
pub struct Outcome {
    /// The results of the runs that are there.
    pub comparison: Comparison,
    /// Whether the user asked for an end before all runs were made.
    pub interrupted: bool,
}

/// Makes all runs that are not there yet, and writes `compare.json`, `compare.md` and `report.html`.
///
/// A run that fails is told and left out; the others go on. What an earlier start finished is not made again.
///
/// # Errors
///
/// When the folder is another comparison's, an earlier start had another configuration, or nothing can be written.
pub fn compare(options: &Options, interrupt: &Interrupt) -> Result<Outcome> {
    let mut inputs = inputs(&options.base)?;
    // Times with one number of threads say nothing about those with another.
    inputs.insert("the number of threads".to_owned(), tch::get_num_threads().to_string());
    let folder = ComparisonFolder::open(options.folder.clone(), &inputs)?;
    let mut work = Work { options, folder, done: BTreeMap::new(), failures: Vec::new() };
    let plan = work.plan()?;
    let interrupted = work.make(&plan, interrupt)?;
    let monitoring = if interrupted { BTreeMap::new() } else { work.monitoring(interrupt)? };
    let interrupted = interrupted || interrupt.is_requested();
    let mut runs: Vec<Vec<RunRecord>> = vec![Vec::new(); options.rows.len()];
    for ((row, _), record) in std::mem::take(&mut work.done) {
        if let Some(runs) = runs.get_mut(row) {
            runs.push(record);
        }
    }
    let mut comparison = summarize(&options.rows, runs, &options.seeds, &monitoring);
    comparison.command.clone_from(&options.command);
    comparison.failures = work.failures;
    work.folder.write(Comparison::FILE, &(serde_json::to_string_pretty(&comparison)? + "\n"))?;
    work.folder.write("compare.md", &markdown(&comparison))?;
    write_comparison_report(&options.folder)?;
    Ok(Outcome { comparison, interrupted })
}

/// A run that is to be made: its row and seed by position, its name and configuration.
struct Planned {
    row: usize,
    seed: usize,
    name: String,
    table: Table,
}

struct Work<'a> {
    options: &'a Options,
    folder: ComparisonFolder,
    /// What is there, by row and seed.
    done: BTreeMap<(usize, usize), RunRecord>,
    failures: Vec<Failure>,
}

impl Work<'_> {
    /// The runs in their order; those of an earlier start are taken over if they have the same configuration.
    fn plan(&mut self) -> Result<Vec<Planned>> {
        let mut plan = Vec::new();
        for (row, seed) in order(self.options.rows.len(), self.options.seeds.len()) {
            let (Some(own), Some(number)) = (self.options.rows.get(row), self.options.seeds.get(seed)) else {
                continue;
            };
            let name = format!("{}-seed{number}", own.name);
            let mut document = Document::from(own.table.clone());
            document.put("training.seed", Value::Integer(number.cast_signed()))?;
            document.put("output.folder", self.folder.file("runs").display().to_string())?;
            document.put("output.name", name.clone())?;
            plan.push(Planned { row, seed, name, table: document.table().clone() });
        }
        for run in &plan {
            self.folder.check(&run.name, &run.table)?;
        }
        for run in &plan {
            // A folder without its configuration beside it is not of an earlier start.
            if self.folder.config(&run.name).exists()
                && let Ok(Some(record)) = self.read(run)
            {
                self.done.insert((run.row, run.seed), record);
            }
        }
        Ok(plan)
    }

    fn read(&self, run: &Planned) -> Result<Option<RunRecord>> {
        let (Some(row), Some(seed)) = (self.options.rows.get(run.row), self.options.seeds.get(run.seed))
        else {
            return Ok(None);
        };
        let name = format!("runs/{}", run.name);
        RunRecord::read(&self.folder.run(&run.name), name, *seed, row.validates())
    }

    /// Makes what is not there; whether the user asked for an end.
    fn make(&mut self, plan: &[Planned], interrupt: &Interrupt) -> Result<bool> {
        let progress = Progress::new(plan.len() as u64, 0);
        progress.line(&format!(
            "{} rows, {} seeds: {} runs, {} of them are there already; results in {}",
            self.options.rows.len(),
            self.options.seeds.len(),
            plan.len(),
            self.done.len(),
            self.folder.path().display()
        ));
        for (number, run) in plan.iter().enumerate() {
            if self.done.contains_key(&(run.row, run.seed)) {
                continue;
            }
            if interrupt.is_requested() {
                return Ok(true);
            }
            progress.line(&format!("{}/{} {}{}", number + 1, plan.len(), run.name, self.left(plan)));
            self.folder.clear(&run.name)?;
            self.folder.write_config(&run.name, &run.table)?;
            let (config, log) = (self.folder.config(&run.name), self.folder.log(&run.name));
            let config = config.display().to_string();
            let start = Instant::now();
            let ended = run_process(
                &self.options.program,
                &["train", "--config", &config],
                &log,
                interrupt,
                |line| {
                    progress.line(&format!("  {}: {line}", run.name));
                },
            )?;
            let Ended::Exited(status) = ended else { return Ok(true) };
            match self.read(run).transpose() {
                Some(Ok(record)) => {
                    progress.line(&format!("  {}", told(&record, start.elapsed().as_secs_f64())));
                    self.done.insert((run.row, run.seed), record);
                }
                failed => {
                    let said = last_line(&log).unwrap_or_else(|| "it said nothing".to_owned());
                    let damage =
                        failed.and_then(Result::err).map(|error| format!("; {}", with_causes(&error)));
                    let reason = format!("{status}; {said}{}", damage.unwrap_or_default());
                    progress.line(&format!("  failed, {reason} (all it said is in {})", log.display()));
                    let row = self.options.rows.get(run.row).map(|row| row.name.clone()).unwrap_or_default();
                    let seed = self.options.seeds.get(run.seed).copied().unwrap_or_default();
                    self.failures.push(Failure { row, seed, reason });
                }
            }
            if !self.options.keep_models {
                self.remove_model(&run.name)?;
            }
        }
        Ok(false)
    }

    fn remove_model(&self, run: &str) -> Result<()> {
        let model = self.folder.run(run).join("model");
        if model.is_dir() {
            std::fs::remove_dir_all(&model).with_context(|| format!("cannot remove {}", model.display()))?;
        }
        Ok(())
    }

    /// How long the rest takes, by what the runs so far took.
    fn left(&self, plan: &[Planned]) -> String {
        let share = |row: usize| self.options.rows.get(row).map_or(1.0, |row| row.share);
        let (mut seconds, mut shares) = (0.0, 0.0);
        for ((row, _), record) in &self.done {
            seconds += record.number(Quantity::WallSeconds).unwrap_or(0.0);
            shares += share(*row);
        }
        if shares == 0.0 {
            return String::new();
        }
        let own = |row: usize| {
            let runs = self.done.iter().filter(|((other, _), _)| *other == row);
            let known: Vec<f64> = runs.filter_map(|(_, run)| run.number(Quantity::WallSeconds)).collect();
            mean(&known).unwrap_or(seconds / shares * share(row))
        };
        let rest = plan.iter().filter(|run| !self.done.contains_key(&(run.row, run.seed)));
        format!(", about {} left", duration(rest.map(|run| own(run.row)).sum()))
    }

    /// Measures what watching gradients costs, for each row that is built in and freezes.
    fn monitoring(&self, interrupt: &Interrupt) -> Result<BTreeMap<String, Overhead>> {
        let mut costs = BTreeMap::new();
        let steps = self.options.monitoring_steps;
        let Some(seed) = self.options.seeds.first().filter(|_| steps > 0) else {
            return Ok(costs);
        };
        let progress = Progress::new(0, 0);
        for row in self.options.rows.iter().filter(|row| row.freezes()) {
            let name = format!("monitoring-{}", row.name);
            let log = self.folder.log(&name);
            if let Ok(cost) = read_overhead(&log) {
                costs.insert(row.name.clone(), cost);
                continue;
            }
            let config = self.folder.config(&format!("{}-seed{seed}", row.name)).display().to_string();
            progress.line(&format!("what watching gradients costs in the row {}", row.name));
            let steps = steps.to_string();
            let arguments = ["monitoring", "--config", &config, "--steps", &steps];
            let Ended::Exited(status) =
                run_process(&self.options.program, &arguments, &log, interrupt, |_| {})?
            else {
                break;
            };
            match read_overhead(&log) {
                Ok(cost) => {
                    costs.insert(row.name.clone(), cost);
                }
                Err(_) => {
                    let said = last_line(&log).unwrap_or_default();
                    progress.line(&format!("  not measured, {status}; {said}"));
                }
            }
        }
        Ok(costs)
    }
}

/// A run in one line.
fn told(record: &RunRecord, seconds: f64) -> String {
    let number = |quantity| record.number(quantity);
    let part = |word: &str, quantity| {
        number(quantity).map(|value| format!(", {word} {value:.4}")).unwrap_or_default()
    };
    format!(
        "{} after {} of {} steps in {}{}{}{}",
        record.result.ended.map(StopReason::words).unwrap_or_default(),
        number(Quantity::Steps).unwrap_or(0.0),
        number(Quantity::PlannedSteps).unwrap_or(0.0),
        duration(seconds),
        part("eval accuracy", Quantity::EvalAccuracy),
        part("eval loss", Quantity::EvalLoss),
        part("test accuracy", Quantity::TestAccuracy),
    )
}
