//! Resumes runs: finds the checkpoint, compares configurations and inputs, and restores the state.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, bail};
use grades::torch::set_generator_state;
use grades_models::files::read_file;
use toml::{Table, Value};

use super::ranks::RunRanks;
use super::setup::Setup;
use crate::checkpoint::{BEST, FOLDER, Found, OPTIMIZER, PARAMETERS, generators, newest};
use crate::config::{
    Document, Dtype, OptimizerConfig, OptimizerName, RunConfig, may_change, resolve_for_model,
};
use crate::records::{StopReason, Summary};
use crate::run::{RunFolder, changed_inputs};
use crate::state::TrainState;
use crate::storage::sweep;
use crate::tasks::Optimizer;

/// The file of the configuration in a run's folder.
const CONFIG: &str = "config.toml";

/// Selects the run to resume.
#[derive(Debug, Clone, Copy)]
pub struct Resume<'a> {
    /// The run's folder.
    pub folder: &'a Path,
    /// Whether it resumes although the configuration or the files that it reads have changed.
    pub allow_changes: bool,
}

/// A run that can be resumed.
pub(super) struct ResumePoint {
    folder: RunFolder,
    found: Option<Found>,
    warnings: Vec<String>,
    allow_changes: bool,
}

/// The state that a run starts or resumes from.
#[derive(Default)]
pub(super) struct Restored {
    /// The counters and the states of the parts.
    pub(crate) state: TrainState,
    /// The lengths of the logs.
    pub(crate) logs: BTreeMap<String, u64>,
    /// The checkpoint.
    pub(crate) checkpoint: Option<PathBuf>,
    /// Facts for the user.
    pub(crate) notes: Vec<String>,
}

impl ResumePoint {
    /// Opens a run's folder and compares its configuration with this one; `None` when the run has ended.
    pub(super) fn open(config: &RunConfig, how: &Resume<'_>) -> Result<Option<Self>> {
        let path = how.folder;
        let folder = RunFolder::open(path)?;
        let written = folder.file(CONFIG);
        let (found, mut warnings) = newest(path)?;
        if !written.exists() && found.is_none() && warnings.is_empty() {
            check_empty(path)?;
            return Ok(Some(Self { folder, found, warnings, allow_changes: true }));
        }
        let document = match &found {
            Some(found) => {
                Document::parse(&found.run.config).context("the configuration in the checkpoint")?
            }
            None if written.exists() => Document::read(&written)?,
            None => return Err(none_is_whole(&folder, &warnings)),
        };
        let changed = differences(document.table(), config)?;
        if !changed.is_empty() && !how.allow_changes {
            let changed = changed.join("\n  ");
            bail!(
                "{} cannot go on with another configuration, which would change its result:\n  {changed}\n\
                 leave these keys as they were, begin a new run, or say --allow-changes",
                path.display()
            );
        }
        if has_ended(path) {
            // A process that was killed after the end of the run may have left something; if it stays, it does no harm.
            let _ = sweep_run(&folder);
            return Ok(None);
        }
        // Starting again would cut the logs, although the checkpoints may still be repaired.
        if found.is_none() && !warnings.is_empty() {
            return Err(none_is_whole(&folder, &warnings));
        }
        if found.is_some() && read_whole(&written).is_err() {
            warnings.push(format!(
                "{} was missing or damaged: it is written again from the checkpoint",
                written.display()
            ));
        }
        Ok(Some(Self { folder, found, warnings, allow_changes: how.allow_changes }))
    }

    /// Returns a warning for each damaged checkpoint that is newer than the one that the run resumes from.
    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Restores the newest checkpoint into the parts of a run.
    pub(super) fn restore(
        &self,
        setup: &mut Setup,
        config: &RunConfig,
        inputs: &BTreeMap<String, String>,
    ) -> Result<Restored> {
        let Some(Found { path, run }) = &self.found else {
            let notes = vec!["there is no checkpoint: the run begins anew".to_owned()];
            return Ok(Restored { notes, ..Restored::default() });
        };
        self.check_inputs(&run.inputs, inputs)?;
        let step = run.state.step;
        restore_training(path, step, setup)?;
        if self.allow_changes {
            set_hyperparameters(&mut setup.optimizer, &config.optimizer)?;
        }
        setup.meter.change(setup.task.matmuls());
        let best = setup.evaluator.restore(run.state.early_stopping.as_ref())?;
        if !best.is_empty() {
            read_file(&path.join(BEST), best)?;
        }
        let mut notes = Vec::new();
        for (name, device) in generators(setup.task.store().device()) {
            match run.generator(name) {
                Some(state) => set_generator_state(device, &state)?,
                None => notes.push(format!(
                    "the run was not on {device:?} before: its numbers will not be those of an unbroken run"
                )),
            }
        }
        notes.push(format!("resumed after step {step} from {}", path.display()));
        let mut state = run.state.clone();
        state.counters.resumes += 1;
        Ok(Restored { state, logs: run.logs.clone(), checkpoint: Some(path.clone()), notes })
    }

    /// Checks that the files that the run reads have not changed.
    fn check_inputs(&self, before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Result<()> {
        let changed = changed_inputs(before, now);
        if !changed.is_empty() && !self.allow_changes {
            bail!(
                "the run cannot go on: the contents of these files have changed since it began: {}; put them back, begin a \
                 new run, or say --allow-changes",
                changed.join("; ")
            );
        }
        Ok(())
    }

    /// Removes what killed processes left in the folder, and returns it with a warning for each file that stays.
    pub(super) fn into_folder(self) -> (RunFolder, Vec<String>) {
        let warnings = sweep_run(&self.folder);
        (self.folder, warnings)
    }
}

/// Restores the parameters and the optimizer from a checkpoint, and the position in the data.
fn restore_training(path: &Path, step: u64, setup: &mut Setup) -> Result<()> {
    let optimizer = &mut setup.optimizer;
    let parameters = optimizer.parameters().iter();
    let parameters =
        parameters.map(|(_, parameter)| (parameter.name().to_owned(), parameter.tensor().shallow_clone()));
    read_file(&path.join(PARAMETERS), parameters.collect())?;
    optimizer.load(&path.join(OPTIMIZER))?;
    let steps = optimizer.steps();
    if steps != step {
        bail!("{} is of step {step}, its optimizer of step {steps}", path.display());
    }
    if let Some(adapter) = &mut setup.adapter
        && setup.optimizer.tracker().frozen() > 0
    {
        adapter.after_load(setup.task.as_mut())?;
    }
    setup.loader.seek(step);
    Ok(())
}

/// Restores the checkpoint that rank 0 goes on from into the parts of another rank.
pub(super) fn restore_follower(
    path: &Path,
    setup: &mut Setup,
    config: &RunConfig,
    ranks: &RunRanks,
) -> Result<()> {
    let run = path.parent().and_then(Path::parent).context("the checkpoint is in no run's folder")?;
    let found = newest(run)?.0.filter(|found| found.path == path);
    let Found { run, .. } = found.with_context(|| {
        format!("this rank does not see the checkpoint {}: all ranks read it", path.display())
    })?;
    restore_training(path, run.state.step, setup)?;
    set_hyperparameters(&mut setup.optimizer, &config.optimizer)?;
    for (name, device) in generators(setup.task.store().device()) {
        match run.generator(&ranks.generator_name(name)) {
            Some(state) => set_generator_state(device, &state)?,
            None => ranks.seed(config, run.state.step),
        }
    }
    Ok(())
}

/// Removes what killed processes left in a run's folder; returns a warning for each file that stays.
fn sweep_run(folder: &RunFolder) -> Vec<String> {
    let inner = [FOLDER, "model", "adapter"].map(|name| folder.file(name));
    let folders = inner.iter().map(PathBuf::as_path).chain([folder.path()]);
    let errors = folders.filter(|folder| folder.exists()).flat_map(sweep);
    errors.map(|error| format!("a leftover of an earlier process cannot be removed: {error}")).collect()
}

/// Makes the error of a run whose checkpoints are all damaged.
fn none_is_whole(folder: &RunFolder, warnings: &[String]) -> Error {
    anyhow!(
        "no checkpoint of {} is whole:\n  {}\nput back what is missing, or remove {} to begin anew",
        folder.path().display(),
        warnings.join("\n  "),
        folder.file(FOLDER).display()
    )
}

/// Reads a configuration; a file that lost all its text is damaged.
fn read_whole(path: &Path) -> Result<Document> {
    let document = Document::read(path)?;
    if document.table().is_empty() {
        bail!("{} is empty", path.display());
    }
    Ok(document)
}

/// Reads the configuration of the run in a folder: its `config.toml`, or where that is missing or damaged the one in the
/// newest checkpoint.
///
/// # Errors
///
/// When the folder is not that of a run, or neither can be read.
pub fn run_configuration(run: &Path) -> Result<Document> {
    let path = run.join(CONFIG);
    let read = match path.exists() {
        true => read_whole(&path),
        false => Err(anyhow!("{} is not the folder of a run: it has no {CONFIG}", run.display())),
    };
    let Err(error) = read else { return read };
    match newest(run) {
        Ok((Some(found), _)) => {
            Ok(Document::parse(&found.run.config).context("the configuration in the checkpoint")?)
        }
        _ => Err(error),
    }
}

/// Replaces `dtype = "auto"` by what a run chose when it began: a measurement now could choose otherwise.
pub(super) fn with_chosen_dtype(config: &RunConfig, run: &Path) -> RunConfig {
    let mut config = config.clone();
    if config.model.dtype == Dtype::Auto
        // A folder that cannot be read is an error of the resume itself.
        && let Ok(document) = run_configuration(run)
        && let Ok(then) = RunConfig::read(document.table())
    {
        config.model.dtype = then.model.dtype;
        config.model.autocast = then.model.autocast;
    }
    config
}

/// Checks that a folder without a configuration is one that a process left when it was killed at its start.
fn check_empty(path: &Path) -> Result<()> {
    let entries = std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    let names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    if let Some(name) = names.iter().find(|name| !name.starts_with('.')) {
        bail!("{} is no run's folder: it has {name}, but no config.toml", path.display());
    }
    Ok(())
}

/// Sets the hyperparameters that the optimizer's file has replaced; the learning rate is set at every step.
fn set_hyperparameters(optimizer: &mut Optimizer, config: &OptimizerConfig) -> Result<()> {
    optimizer.set_weight_decay(config.weight_decay)?;
    optimizer.set_momentum(match config.name {
        OptimizerName::Sgd => config.momentum,
        OptimizerName::Adam | OptimizerName::AdamW => config.beta1,
    })?;
    Ok(())
}

/// Returns whether a run has ended: only an interrupted one can be resumed.
pub(super) fn has_ended(run: &Path) -> bool {
    // A damaged summary is not that of a run that ended.
    let summary = Summary::read(run).ok().flatten();
    summary.is_some_and(|summary| summary.ended != StopReason::Interrupted)
}

/// Lists the keys that differ and change the result, with both values.
fn differences(before: &Table, config: &RunConfig) -> Result<Vec<String>> {
    let mut then = RunConfig::read(before).context("the configuration of the run's folder")?;
    // The model may have moved; the defaults that depend on it come from the present one.
    then.model.path.clone_from(&config.model.path);
    resolve_for_model(&mut then)?;
    let (mut before, mut now) = (BTreeMap::new(), BTreeMap::new());
    flatten("", &Table::try_from(&then).context("comparing configurations")?, &mut before);
    flatten("", &Table::try_from(config).context("comparing configurations")?, &mut now);
    let keys: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let text = |value: Option<&Value>| value.map_or("not given".to_owned(), ToString::to_string);
    Ok(keys
        .into_iter()
        .filter(|key| !may_change(key, config.early_stopping.is_some()))
        .filter(|key| before.get(*key) != now.get(*key))
        .map(|key| format!("{key}: {} before, {} now", text(before.get(key)), text(now.get(key))))
        .collect())
}

/// Collects the values of a table by their dotted keys.
fn flatten(prefix: &str, table: &Table, found: &mut BTreeMap<String, Value>) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(inner) => flatten(&key, inner, found),
            value => {
                found.insert(key, value.clone());
            }
        }
    }
}
