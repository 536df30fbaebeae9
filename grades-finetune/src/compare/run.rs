//! Runs a comparison, from variants to results.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Instant;

use anyhow::{Context, Error, Result};
use toml::Table;

use super::folder::{ComparisonFolder, inputs};
use super::overhead::Measurement;
use super::plan::{PlannedRun, plan};
use super::process::{Ended, last_line, run as run_process};
use super::read_run::FinishedRun;
use super::summarize::summarize;
use super::table::markdown;
use super::variants::Variant;
use crate::causes::with_causes;
use crate::log::{Progress, duration};
use crate::records::{Comparison, Failure, Quantity, StopReason, mean};
use crate::run::Interrupt;

/// The options of a comparison.
#[derive(Debug)]
pub struct Options {
    /// The configuration of which the variants were made.
    pub base: Table,
    /// The variants.
    pub variants: Vec<Variant>,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// The comparison's folder.
    pub folder: PathBuf,
    /// Whether the trained models stay in the folder.
    pub keep_models: bool,
    /// Steps in which the cost of watching gradients is measured; 0 does not measure it.
    pub monitoring_steps: u64,
    /// The program whose `train` makes the runs.
    pub program: PathBuf,
    /// The command, for the record.
    pub command: String,
}

/// The outcome of a comparison.
#[derive(Debug)]
pub struct Outcome {
    /// The results of the runs that exist.
    pub comparison: Comparison,
    /// Whether the user asked for an end before all runs were made.
    pub interrupted: bool,
}

/// Makes all runs that do not exist yet, and writes `compare.json` and `compare.md`.
///
/// A run that fails is reported and left out; the others go on. Runs that an earlier start finished are not made again.
///
/// # Errors
///
/// When the folder is another comparison's, an earlier start had another configuration, or nothing can be written.
pub fn compare(options: &Options, interrupt: &Interrupt) -> Result<Outcome> {
    let Options { variants, seeds, .. } = options;
    let mut inputs = inputs(&options.base)?;
    // Times with one number of threads say nothing about those with another.
    inputs.insert("the number of threads".to_owned(), tch::get_num_threads().to_string());
    let folder = ComparisonFolder::open(options.folder.clone(), &inputs)?;
    let plan = plan(variants, seeds, &folder)?;
    let mut runner =
        Runner { options, folder: &folder, plan: &plan, done: BTreeMap::new(), failures: Vec::new() };
    runner.find_finished();
    let mut interrupted = runner.make(interrupt)?;
    let mut overhead = BTreeMap::new();
    if let Some(seed) = seeds.first().filter(|_| options.monitoring_steps > 0 && !interrupted) {
        let steps = options.monitoring_steps;
        overhead =
            Measurement { program: &options.program, seed: *seed, steps }.of(variants, &folder, interrupt)?;
        interrupted = interrupt.is_requested();
    }
    let Runner { done, failures, .. } = runner;
    let mut runs: Vec<Vec<FinishedRun>> = vec![Vec::new(); variants.len()];
    for ((index, _), run) in done {
        if let Some(runs) = runs.get_mut(index) {
            runs.push(run);
        }
    }
    let mut comparison = summarize(variants, runs, seeds, &overhead);
    comparison.command.clone_from(&options.command);
    comparison.failures = failures;
    folder.write(Comparison::FILE, &(serde_json::to_string_pretty(&comparison)? + "\n"))?;
    folder.write("compare.md", &markdown(&comparison))?;
    Ok(Outcome { comparison, interrupted })
}

/// Makes runs, one after another.
struct Runner<'a> {
    options: &'a Options,
    folder: &'a ComparisonFolder,
    plan: &'a [PlannedRun<'a>],
    /// The runs that exist, by the variant's position and the seed.
    done: BTreeMap<(usize, u64), FinishedRun>,
    failures: Vec<Failure>,
}

impl Runner<'_> {
    /// Reads the runs of an earlier start.
    fn find_finished(&mut self) {
        for run in self.plan {
            // A folder without its configuration beside it is not of an earlier start.
            if self.folder.config(&run.name).exists()
                && let Ok(Some(finished)) = self.read(run)
            {
                self.done.insert(run.key(), finished);
            }
        }
    }

    /// Makes the runs that do not exist; returns whether the user asked for an end.
    fn make(&mut self, interrupt: &Interrupt) -> Result<bool> {
        let progress = Progress::new(self.plan.len() as u64, 0);
        progress.line(&format!(
            "{} rows, {} seeds: {} runs, {} of them are there already; results in {}",
            self.options.variants.len(),
            self.options.seeds.len(),
            self.plan.len(),
            self.done.len(),
            self.folder.path().display()
        ));
        for (number, run) in self.plan.iter().enumerate() {
            if self.done.contains_key(&run.key()) {
                continue;
            }
            if interrupt.is_requested() {
                return Ok(true);
            }
            progress.line(&format!("{}/{} {}{}", number + 1, self.plan.len(), run.name, self.time_left()));
            if !self.make_one(run, interrupt, &progress)? {
                return Ok(true);
            }
            if !self.options.keep_models {
                self.remove_model(&run.name)?;
            }
        }
        Ok(false)
    }

    /// Makes one run; returns whether it ended by itself.
    fn make_one(&mut self, run: &PlannedRun<'_>, interrupt: &Interrupt, progress: &Progress) -> Result<bool> {
        self.folder.clear(&run.name)?;
        self.folder.write_config(&run.name, &run.table)?;
        let (config, log) = (self.folder.config(&run.name).display().to_string(), self.folder.log(&run.name));
        let arguments = ["train", "--config", &config];
        let start = Instant::now();
        let ended = run_process(&self.options.program, &arguments, &log, interrupt, |line| {
            progress.line(&format!("  {}: {line}", run.name));
        })?;
        let Ended::Exited(status) = ended else { return Ok(false) };
        match self.read(run).transpose() {
            Some(Ok(finished)) => {
                progress.line(&format!("  {}", one_line(&finished, start.elapsed().as_secs_f64())));
                self.done.insert(run.key(), finished);
            }
            failed => {
                let reason = reason(status, last_line(&log), failed.and_then(Result::err));
                progress.line(&format!("  failed, {reason} (its output is in {})", log.display()));
                self.failures.push(Failure { row: run.variant.name.clone(), seed: run.seed, reason });
            }
        }
        Ok(true)
    }

    fn read(&self, run: &PlannedRun<'_>) -> Result<Option<FinishedRun>> {
        let folder = format!("runs/{}", run.name);
        FinishedRun::read(&self.folder.run(&run.name), folder, run.seed, run.variant.validates())
    }

    fn remove_model(&self, run: &str) -> Result<()> {
        let model = self.folder.run(run).join("model");
        if model.is_dir() {
            std::fs::remove_dir_all(&model).with_context(|| format!("cannot remove {}", model.display()))?;
        }
        Ok(())
    }

    /// Estimates the time of the other runs from that of the runs so far.
    fn time_left(&self) -> String {
        let wall = |run: &FinishedRun| run.number(Quantity::WallSeconds);
        let share = |index: usize| self.options.variants.get(index).map_or(1.0, |variant| variant.share);
        let seconds: f64 = self.done.values().filter_map(wall).sum();
        let shares: f64 = self.done.keys().map(|(index, _)| share(*index)).sum();
        if shares == 0.0 {
            return String::new();
        }
        let own = |index: usize| {
            let runs = self.done.iter().filter(|((other, _), _)| *other == index);
            let known: Vec<f64> = runs.filter_map(|(_, run)| wall(run)).collect();
            mean(&known).unwrap_or(seconds / shares * share(index))
        };
        let rest = self.plan.iter().filter(|run| !self.done.contains_key(&run.key()));
        format!(", about {} left", duration(rest.map(|run| own(run.index)).sum()))
    }
}

/// Says why a run failed: its exit status, its last line, and what is wrong with what it left.
fn reason(status: ExitStatus, last: Option<String>, damage: Option<Error>) -> String {
    let last = last.unwrap_or_else(|| "it printed nothing".to_owned());
    let damage = damage.map(|error| format!("; {}", with_causes(&error))).unwrap_or_default();
    format!("{status}; {last}{damage}")
}

/// Writes a run in one line.
fn one_line(run: &FinishedRun, seconds: f64) -> String {
    let part = |word: &str, quantity| {
        run.number(quantity).map(|value| format!(", {word} {value:.4}")).unwrap_or_default()
    };
    format!(
        "{} after {} of {} steps in {}{}{}{}",
        run.result.ended.map(StopReason::words).unwrap_or_default(),
        run.number(Quantity::Steps).unwrap_or(0.0),
        run.number(Quantity::PlannedSteps).unwrap_or(0.0),
        duration(seconds),
        part("eval accuracy", Quantity::EvalAccuracy),
        part("eval loss", Quantity::EvalLoss),
        part("test accuracy", Quantity::TestAccuracy),
    )
}
