//! Runs: from a configuration to a run folder.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};

use super::checkpointer::Checkpointer;
use super::forecast::forecast;
use super::loss_monitor::NonFiniteError;
use super::prefix::restored_cache;
use super::ranks::{Order, RunRanks};
use super::resume::{Restored, Resume, ResumePoint, with_chosen_dtype};
use super::room::Room;
use super::saver::Rescue;
use super::setup::Setup;
use super::summary::Finished;
use super::trainer::Trainer;
use crate::card::Card;
use crate::causes::with_causes;
use crate::config::{RunConfig, resolve_for_model};
use crate::log::tensorboard::TensorBoard;
use crate::log::{FileLogger, LogFiles, Logger, Loggers, Progress};
use crate::records::{StopReason, Summary};
use crate::run::{Interrupt, RunFolder, check_open_files, run_inputs};
use crate::storage::write_atomic;
use crate::tasks;

/// A run that has ended.
#[derive(Debug)]
pub struct Outcome {
    /// The contents of `summary.json`.
    pub summary: Summary,
    /// The run's folder.
    pub folder: PathBuf,
    /// Failures that did not end the run, such as a log that could not be written.
    pub warnings: Vec<String>,
    /// Facts for the user about what is not part of the result, such as a model card that could not be written.
    pub notes: Vec<String>,
}

/// Trains a model as configured and writes everything into a new run folder.
///
/// The folder is called `name`, with a number behind it when that exists, unless the configuration names it.
///
/// # Errors
///
/// When a file is missing or wrong, the folder exists, or the configuration does not fit the model or the data; a
/// [`NonFiniteError`](super::NonFiniteError) when loss or gradients stay NaN or infinite. Files that were written by then
/// remain.
pub fn train(config: &RunConfig, name: &str, interrupt: &Interrupt) -> Result<Outcome> {
    train_in_group(config, name, interrupt, None)
}

/// Trains as [`train`] does and sends all events to one more logger.
///
/// # Errors
///
/// As [`train`].
pub fn train_logged(
    config: &RunConfig,
    name: &str,
    interrupt: &Interrupt,
    logger: &mut dyn Logger,
) -> Result<Outcome> {
    let mut loggers = Loggers::default();
    loggers.add(logger);
    run(config, Start::New(name), interrupt, loggers, None)
}

/// Trains as [`train`] does; with `ranks` this process leads the others.
pub(crate) fn train_in_group(
    config: &RunConfig,
    name: &str,
    interrupt: &Interrupt,
    ranks: Option<&RunRanks>,
) -> Result<Outcome> {
    run(config, Start::New(name), interrupt, Loggers::default(), ranks)
}

/// Resumes a run from its newest complete checkpoint, or from its beginning where there is none. The result is that of a
/// run without a break. Returns `None` when the run has ended.
///
/// # Errors
///
/// As [`train`]; also when the folder is not a run, another process is using it, the configuration or a file that the run
/// reads has changed in a way that changes the result, or a checkpoint is of a newer version.
pub fn resume(config: &RunConfig, how: &Resume<'_>, interrupt: &Interrupt) -> Result<Option<Outcome>> {
    resume_in_group(config, how, interrupt, None)
}

/// Resumes as [`resume`] does; with `ranks` this process leads the others.
pub(crate) fn resume_in_group(
    config: &RunConfig,
    how: &Resume<'_>,
    interrupt: &Interrupt,
    ranks: Option<&RunRanks>,
) -> Result<Option<Outcome>> {
    let config = &with_chosen_dtype(config, how.folder);
    let mut resolved = config.clone();
    resolve_for_model(&mut resolved)?;
    let loading = interrupt.end_at_once();
    let point = ResumePoint::open(&resolved, how)?;
    drop(loading);
    let run = |point| run(config, Start::Resumed(Box::new(point)), interrupt, Loggers::default(), ranks);
    point.map(run).transpose()
}

/// How a run starts.
enum Start<'a> {
    /// In a new folder with this name.
    New(&'a str),
    /// From a checkpoint.
    Resumed(Box<ResumePoint>),
}

fn run(
    config: &RunConfig,
    start: Start<'_>,
    interrupt: &Interrupt,
    mut loggers: Loggers<'_>,
    ranks: Option<&RunRanks>,
) -> Result<Outcome> {
    check_open_files()?;
    let started = Instant::now();
    if let Some(ranks) = ranks {
        ranks.order(Order::Begin, interrupt)?;
    }
    let loading = interrupt.end_at_once();
    let (mut setup, config) = Setup::build(tasks::load(config)?)?;
    let text = toml::to_string_pretty(&config).context("writing the configuration")?;
    let inputs = run_inputs(&config)?;
    let mut warnings = start.warnings();
    if let Some(ranks) = ranks {
        setup.optimizer = ranks.attach(setup.optimizer, setup.task.as_ref(), &config)?;
        setup.ranks = Some(ranks.clone());
        ranks.compare_inputs(inputs.values().cloned())?;
    }
    let restored = start.restore(&mut setup, &config, &inputs)?;
    if let Some(ranks) = ranks {
        ranks.share_checkpoint(restored.checkpoint.as_deref())?;
        ranks.compare(&setup.optimizer)?;
    }
    drop(loading);
    let info = setup.task.info();
    let (data, task) = (info.description.clone(), info.peft_task_type);
    let labels = info.labels.clone().unwrap_or_default();

    // Nothing is written before everything that can be wrong with the input has been found.
    let (folder, left_over) = start.into_folder(&config)?;
    warnings.extend(left_over);
    warnings.extend(Room::estimate(&config, &setup).warnings(folder.path()));
    folder.write("config.toml", &text)?;
    let logs = LogFiles::open(folder.path(), &restored.logs)?;
    add_loggers(&mut loggers, &config, &setup, &restored, &logs, &folder)?;
    for warning in &warnings {
        loggers.warn(warning);
    }
    for note in notes(&config, &setup, &restored, &folder) {
        loggers.note(&note);
    }

    let Restored { mut state, checkpoint, .. } = restored;
    state.counters.clock.wall.start_at(started);
    let checkpointer = Checkpointer::new(&folder, config.checkpoint, text, inputs, logs, checkpoint);
    let cache = restored_cache(config.cache, &setup, &state, folder.path())?;
    let mut trainer = Trainer::new(&config, setup, state, cache, checkpointer, loggers);
    let reason = trainer.fit(interrupt)?;
    let finished = trainer.finish(reason, folder.path(), interrupt);
    if let Some(ranks) = ranks {
        // Where that fails another rank is gone, and this one has all that it needs.
        let _ = ranks.order(Order::End(exit_code(&finished)), interrupt);
    }
    let Finished { summary, warnings, rescue } = finished?;
    let run = folder.path();
    let card = Card { run, config: &config, summary: &summary, data: &data, task, labels: &labels };
    let saved = if config.lora.is_some() { "adapter" } else { "model" };
    let text = serde_json::to_string_pretty(&summary)? + "\n";
    if let Some(Rescue { folder, error }) = rescue {
        // The error says that it is there; the model matters more.
        let _ = write_atomic(&folder.join(Summary::FILE), text.as_bytes());
        let _ = card.write(&folder.join(saved));
        return Err(error);
    }
    folder.write(Summary::FILE, &text)?;
    let written = if run.join(saved).is_dir() { card.write(&run.join(saved)) } else { Ok(()) };
    let note = |error| format!("there is no model card: {}", with_causes(&error));
    let notes = written.err().map(note).into_iter().collect();
    Ok(Outcome { summary, folder: folder.path().to_path_buf(), warnings, notes })
}

/// Returns the exit code of the other ranks.
fn exit_code(finished: &Result<Finished>) -> u8 {
    match finished {
        Ok(Finished { rescue: Some(_), .. }) => 1,
        Ok(Finished { summary, .. }) if summary.ended == StopReason::Interrupted => summary.ended.exit_code(),
        Ok(_) => 0,
        Err(error) if error.is::<NonFiniteError>() => StopReason::NonFinite.exit_code(),
        Err(_) => 1,
    }
}

impl Start<'_> {
    /// Returns a warning for each damaged checkpoint.
    fn warnings(&self) -> Vec<String> {
        match self {
            Self::New(_) => Vec::new(),
            Self::Resumed(point) => point.warnings().to_vec(),
        }
    }

    /// Restores the checkpoint, if there is one.
    fn restore(
        &self,
        setup: &mut Setup,
        config: &RunConfig,
        inputs: &BTreeMap<String, String>,
    ) -> Result<Restored> {
        match self {
            Self::New(_) => Ok(Restored::default()),
            Self::Resumed(point) => point.restore(setup, config, inputs),
        }
    }

    /// Creates the folder of a new run, or returns that of a resumed one with a warning for each file that a killed process
    /// left and that cannot be removed.
    fn into_folder(self, config: &RunConfig) -> Result<(RunFolder, Vec<String>)> {
        let output = &config.output;
        let created = match (self, &output.name) {
            (Self::New(_), Some(name)) => RunFolder::create(&output.folder, name),
            (Self::New(name), None) => RunFolder::create_numbered(&output.folder, name),
            (Self::Resumed(point), _) => return Ok(point.into_folder()),
        };
        Ok((created?, Vec::new()))
    }
}

/// Adds the loggers of a run: its files, TensorBoard and standard error.
fn add_loggers(
    loggers: &mut Loggers<'_>,
    config: &RunConfig,
    setup: &Setup,
    restored: &Restored,
    logs: &LogFiles,
    folder: &RunFolder,
) -> Result<()> {
    let components = setup.optimizer.components();
    loggers.add(FileLogger::new(folder.path(), logs, components)?);
    if config.output.tensorboard {
        let opened = TensorBoard::open(&folder.file("tensorboard"), setup.optimizer.steps() + 1, components);
        let seconds = restored.state.counters.clock.train_seconds();
        loggers.add(opened.context("cannot write for TensorBoard")?.after(seconds));
    }
    loggers.add(match config.output.quiet {
        true => Progress::quiet(),
        false => Progress::new(setup.loader.steps(), components.len()),
    });
    Ok(())
}

/// Lists the facts that the user should know before the first step.
fn notes(config: &RunConfig, setup: &Setup, restored: &Restored, folder: &RunFolder) -> Vec<String> {
    let info = setup.task.info();
    let mut notes = vec![format!(
        "{}, {} steps, {} components on {:?}; results in {}",
        info.description,
        setup.loader.steps(),
        setup.optimizer.components().len(),
        setup.task.store().device(),
        folder.path().display()
    )];
    notes.extend(setup.adapter.as_ref().map(|adapter| adapter.describe(setup.task.as_ref())));
    if config.freezing.is_none() {
        notes.push(
            "nothing freezes: there is no [freezing] table (--freezing adds the automatic policy)".to_owned(),
        );
    }
    notes.extend(forecast(setup.optimizer.tracker(), setup.schedule.warmup_steps()));
    notes.extend(info.notes.iter().chain(&setup.notes).chain(&restored.notes).cloned());
    notes
}
