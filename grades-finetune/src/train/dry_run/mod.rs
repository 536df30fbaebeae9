//! Dry runs: what a run would do and need, without a trace.
//!
//! A run is built as for training. Two steps are run on it, for their time and memory; then it is dropped.

mod estimate;
mod text;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};

use estimate::{Lengths, Memory, components, step_flops, steps_to_measure};
pub use text::dry_run_text;

use super::resume::{Resume, ResumePoint, has_ended};
use super::room::Room;
use super::setup::Setup;
use super::step::{StepOptions, train_step};
use super::step_loader::StepBatch;
use crate::cache::ActivationCache;
use crate::config::{RunConfig, resolve_for_model};
use crate::run::{reset_peak_memory, resident_memory, run_inputs};
use crate::storage::free_space;
use crate::tasks::{self, Evaluated, Split};

/// The longest time of the evaluation that is measured.
const EVALUATION: f64 = 5.0;

/// The plan of a run, and its needs.
#[derive(Debug)]
pub struct DryRun {
    data: Data,
    model: Model,
    steps: Steps,
    /// The FLOPs of the steps to come, with what is frozen now.
    flops: f64,
    memory: Memory,
    disk: Disk,
    time: Time,
}

/// The training data.
#[derive(Debug)]
struct Data {
    /// The data, the adapter and the run to resume, in a line each.
    facts: Vec<String>,
    /// The training rows by length.
    lengths: Lengths,
    /// The longest sequence.
    max_tokens: Option<usize>,
    truncated: usize,
    skipped: usize,
}

/// The model.
#[derive(Debug)]
struct Model {
    /// The components by kind: the number of each, and its parameters.
    components: Vec<(&'static str, usize, u64)>,
    parameters: u64,
    /// The parameters that train.
    trainable: u64,
    /// The freezing in a line; `None` without it.
    freezing: Option<String>,
    device: String,
}

/// The optimizer steps.
#[derive(Debug)]
struct Steps {
    planned: u64,
    /// The steps before, of a run that is resumed.
    done: u64,
    per_epoch: u64,
    batch_size: usize,
    accumulation: usize,
    processes: usize,
    /// The number of steps whose FLOPs were counted; the others are taken to be like them.
    counted: usize,
}

impl Steps {
    /// Returns the steps to come.
    fn left(&self) -> u64 {
        self.planned.saturating_sub(self.done)
    }
}

/// The room on the disk.
#[derive(Debug)]
struct Disk {
    room: Room,
    /// The free room; `None` where the system does not say.
    free: Option<u64>,
}

/// The time.
#[derive(Debug)]
struct Time {
    /// The seconds of a mean step, and the FLOPs a second of the measured one; `None` where no step is left.
    step: Option<(f64, f64)>,
    evaluations: u64,
    /// The seconds of an evaluation; an error has the time after which it was ended.
    evaluation: Option<Result<f64, f64>>,
}

/// Finds out what a run would do and need; with `how`, what is left of the run to resume. Writes nothing.
///
/// A run of several processes is planned in one: each would compute its part of the batches.
///
/// # Errors
///
/// As [`train`](super::train) and [`resume`](super::resume), for all that they find wrong before the first step; also when
/// the run to resume has ended.
pub fn dry_run(config: &RunConfig, how: Option<&Resume<'_>>, processes: usize) -> Result<DryRun> {
    let point = match how {
        Some(how) if has_ended(how.folder) => {
            bail!("the run {} has ended: there is nothing to resume", how.folder.display())
        }
        Some(how) => {
            let mut resolved = config.clone();
            resolve_for_model(&mut resolved)?;
            ResumePoint::open(&resolved, how)?
        }
        None => None,
    };
    let before = resident_memory();
    let (mut setup, config) = Setup::build(tasks::load(config)?)?;
    let mut facts = vec![setup.task.info().description.clone()];
    let mut done = 0;
    if let Some(point) = &point {
        let restored = point.restore(&mut setup, &config, &run_inputs(&config)?)?;
        done = restored.state.step;
        facts.extend(point.warnings().iter().map(|warning| format!("warning: {warning}")));
        facts.extend(restored.notes);
    }
    facts.extend(setup.adapter.as_ref().map(|adapter| adapter.describe(setup.task.as_ref())));
    facts.extend(setup.task.info().notes.iter().cloned());

    let mut loader = setup.loader.clone();
    loader.seek(done);
    let mut steps = Steps {
        planned: loader.steps(),
        done,
        per_epoch: loader.steps_per_epoch(),
        batch_size: config.training.batch_size,
        accumulation: config.training.gradient_accumulation_steps,
        processes,
        counted: 0,
    };
    let flops;
    (flops, steps.counted) = step_flops(&setup, loader.clone(), steps.left())?;
    let info = setup.task.info();
    let data = Data {
        facts,
        lengths: Lengths::of(setup.task.sampler().lengths()),
        max_tokens: config.data.max_tokens,
        truncated: info.truncated,
        skipped: info.skipped.unwrap_or(0),
    };
    let model = Model {
        components: components(setup.optimizer.components()),
        parameters: elements(&setup, false),
        trainable: elements(&setup, true),
        freezing: freezing(&config, steps.planned),
        device: format!("{:?}", setup.task.store().device()).to_lowercase(),
    };
    let folder = how.map_or(config.output.folder.as_path(), |how| how.folder);
    let free = existing(folder).and_then(|folder| free_space(&folder));
    let disk = Disk { room: Room::estimate(&config, &setup), free };
    let mut time = Time {
        step: None,
        evaluations: evaluations(&setup, done),
        evaluation: measure_evaluation(&setup, config.training.eval_batch_size)?,
    };
    let mut memory = Memory::default();
    if let Some([longest, usual]) = steps_to_measure(setup.task.sampler().lengths(), loader) {
        reset_peak_memory();
        let resident = resident_memory();
        run_step(&mut setup, &config, &longest, done + 1)?;
        let rate = run_step(&mut setup, &config, &usual, done + 2)?;
        memory = Memory::measured(&config, &setup, (before, resident));
        let mean = flops / steps.left().max(1) as f64;
        time.step = Some((mean / rate.max(f64::MIN_POSITIVE) / processes.max(1) as f64, rate));
    }
    Ok(DryRun { data, model, steps, flops, memory, disk, time })
}

/// Runs a step; returns its FLOPs a second.
fn run_step(setup: &mut Setup, config: &RunConfig, step: &StepBatch, number: u64) -> Result<f64> {
    let start = Instant::now();
    let batches = step.load(setup.task.as_ref(), &mut ActivationCache::off())?;
    let products = setup.task.matmuls();
    let flops: u128 = batches.iter().map(|batch| products.total(batch.shape)).sum();
    let (rate, options) = (setup.schedule.at(number), StepOptions::new(config));
    let (task, optimizer) = (setup.task.as_ref(), &mut setup.optimizer);
    if let Some(outcome) = train_step(task, optimizer, &batches, rate, options, &|| false, None)? {
        // Waits for the device.
        f64::try_from(outcome.loss)?;
    }
    Ok(flops as f64 / start.elapsed().as_secs_f64().max(f64::MIN_POSITIVE))
}

/// Counts the evaluations on `data.eval` that are still to come.
fn evaluations(setup: &Setup, done: u64) -> u64 {
    let between = (done + 1..setup.loader.steps()).filter(|step| setup.evaluator.is_due(*step)).count();
    between as u64 + 1
}

/// Measures an evaluation, if there is one; one that takes long is ended.
fn measure_evaluation(setup: &Setup, batch_size: usize) -> Result<Option<Result<f64, f64>>> {
    let start = Instant::now();
    let seconds = || start.elapsed().as_secs_f64();
    let stop = || seconds() > EVALUATION;
    Ok(match setup.task.evaluate(Split::Eval, batch_size, &mut ActivationCache::off(), &stop)? {
        Evaluated::Done(_) => Some(Ok(seconds())),
        Evaluated::Stopped => Some(Err(seconds())),
        Evaluated::NoData => None,
    })
}

/// Describes the freezing of a run in a line.
fn freezing(config: &RunConfig, planned: u64) -> Option<String> {
    let freezing = config.freezing.as_ref()?;
    let (grace, first) = (freezing.grace(), (freezing.grace() * planned as f64).ceil());
    Some(match first {
        0.0 => "they may freeze from the first check on (freezing.grace = 0)".to_owned(),
        first => format!("none freezes before step {first} of {planned} (freezing.grace = {grace})"),
    })
}

fn elements(setup: &Setup, trainable: bool) -> u64 {
    let variables = setup.task.store().variables();
    let counted = variables.values().filter(|tensor| !trainable || tensor.requires_grad());
    counted.map(|tensor| tensor.numel() as u64).sum()
}

/// Returns the folder, or the first one above it that exists.
fn existing(folder: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(folder).ok()?;
    absolute.ancestors().find(|folder| folder.is_dir()).map(Path::to_path_buf)
}
