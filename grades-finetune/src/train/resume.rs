//! Going on with a run: which one, whether it may, and from where.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use grades::torch::set_generator_state;
use toml::{Table, Value};

use super::checkpoint::{BEST, FOLDER, Found, OPTIMIZER, PARAMETERS, RunState, newest};
use super::early_stopping::EarlyStopping;
use super::fit::fit;
use super::folder::RunFolder;
use super::keeping::generators;
use super::lora::LoraTraining;
use super::task::{Optimizer, Task};
use crate::config::{Document, OptimizerConfig, OptimizerName, RunConfig};
use crate::records::{StopReason, Summary};
use crate::storage::sweep;
use grades_models::Family;
use grades_models::files::read_file;

/// Which run is resumed, and how.
#[derive(Debug, Clone, Copy)]
pub struct Resume<'a> {
    /// The run's folder.
    pub folder: &'a Path,
    /// Whether it goes on although the configuration or what it reads has changed.
    pub allow_changes: bool,
}

/// Keys, or beginnings of keys, that do not change what is trained. Files are compared by their contents.
const FREE: [&str; 10] = [
    "output.",
    "checkpoint.",
    "compare.",
    "guard.",
    "evaluation.",
    "data.train",
    "data.eval",
    "data.test",
    "model.path",
    "model.device",
];

/// Those that do not either unless evaluations decide when the run ends.
const FREE_WITHOUT_STOPPING: [&str; 2] = ["training.eval_every", "training.eval_batch_size"];

/// A run that may go on.
pub(super) struct Resumed {
    folder: RunFolder,
    found: Option<Found>,
    warnings: Vec<String>,
    allow_changes: bool,
}

/// What was built for a run and takes back its state.
pub(super) struct Built<'a> {
    pub(super) task: &'a mut dyn Task,
    pub(super) lora: Option<&'a mut LoraTraining>,
    pub(super) optimizer: &'a mut Optimizer,
    /// What the optimizer was built by.
    pub(super) hyperparameters: &'a OptimizerConfig,
}

/// What a run had when it was broken off.
pub(super) struct Earlier {
    pub(super) state: RunState,
    pub(super) checkpoint: Option<PathBuf>,
}

impl Resumed {
    /// Opens a run's folder and compares its configuration with this one; `None` when the run has ended.
    pub(super) fn open(config: &RunConfig, how: &Resume<'_>) -> Result<Option<Self>> {
        let path = how.folder;
        let folder = RunFolder::open(path)?;
        let written = folder.file("config.toml");
        if !written.exists() {
            // A process that was killed at once may have left an empty folder.
            let entries =
                std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
            let names: Vec<String> =
                entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
            if let Some(name) = names.iter().find(|name| !name.starts_with('.')) {
                bail!("{} is no run's folder: it has {name}, but no config.toml", path.display());
            }
            return Ok(Some(Self { folder, found: None, warnings: Vec::new(), allow_changes: true }));
        }
        let (found, warnings) = newest(path)?;
        let document = match &found {
            Some(found) => {
                Document::parse(&found.state.config).context("the configuration in the checkpoint")?
            }
            None => Document::read(&written)?,
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
        if has_ended(&folder) {
            return Ok(None);
        }
        // Beginning anew would cut the logs, and take what may still be made whole.
        if found.is_none() && !warnings.is_empty() {
            bail!(
                "no checkpoint of {} is whole:\n  {}\nput back what is missing, or remove {} to begin anew",
                path.display(),
                warnings.join("\n  "),
                folder.file(FOLDER).display()
            );
        }
        Ok(Some(Self { folder, found, warnings, allow_changes: how.allow_changes }))
    }

    /// What is wrong with newer checkpoints than the one that the run goes on from.
    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Puts the state of the newest checkpoint into what was built; what it was, and notes for the user.
    pub(super) fn restore(
        &self,
        built: Built<'_>,
        stopping: Option<&mut EarlyStopping>,
        inputs: &BTreeMap<String, String>,
    ) -> Result<(Option<Earlier>, Vec<String>)> {
        let Built { task, lora, optimizer, hyperparameters } = built;
        let mut notes = Vec::new();
        let Some(Found { path, state }) = &self.found else {
            notes.push("there is no checkpoint: the run begins anew".to_owned());
            return Ok((None, notes));
        };
        let keys: BTreeSet<&String> = inputs.keys().chain(state.inputs.keys()).collect();
        let changed: Vec<&str> = keys
            .into_iter()
            .filter(|key| inputs.get(*key) != state.inputs.get(*key))
            .map(String::as_str)
            .collect();
        if !changed.is_empty() && !self.allow_changes {
            bail!(
                "the run cannot go on: the contents of these files have changed since it began: {}; put them back, begin a \
                 new run, or say --allow-changes",
                changed.join("; ")
            );
        }
        let parameters = optimizer.parameters().iter();
        let parameters = parameters
            .map(|(_, parameter)| (parameter.name().to_owned(), parameter.tensor().shallow_clone()));
        read_file(&path.join(PARAMETERS), parameters.collect())?;
        optimizer.load(&path.join(OPTIMIZER))?;
        if self.allow_changes {
            // The file has brought back those of before; the learning rate is set at every step.
            optimizer.set_weight_decay(hyperparameters.weight_decay)?;
            optimizer.set_momentum(match hyperparameters.name {
                OptimizerName::Sgd => hyperparameters.momentum,
                OptimizerName::Adam | OptimizerName::AdamW => hyperparameters.beta1,
            })?;
        }
        if optimizer.steps() != state.step {
            bail!(
                "{} is of step {}, its optimizer of step {}",
                path.display(),
                state.step,
                optimizer.steps()
            );
        }
        if let Some(lora) = lora.filter(|_| optimizer.tracker().frozen() > 0) {
            lora.after_load(task)?;
        }
        if let (Some(stopping), Some(saved)) = (stopping, &state.stopping) {
            let best = stopping.restored_from(&saved.patience, saved.last)?;
            if !best.is_empty() {
                read_file(&path.join(BEST), best)?;
            }
        }
        for (name, device) in generators(task.device()) {
            match state.generator(name) {
                Some(state) => set_generator_state(device, &state)?,
                None => notes.push(format!(
                    "the run was not on {device:?} before: its numbers will not be those of an unbroken run"
                )),
            }
        }
        notes.push(format!("resumed after step {} from {}", state.step, path.display()));
        let mut state = state.clone();
        state.counters.resumes += 1;
        Ok((Some(Earlier { state, checkpoint: Some(path.clone()) }), notes))
    }

    /// The folder, without what killed processes left in it.
    pub(super) fn into_folder(self) -> Result<RunFolder> {
        let inner = [FOLDER, "model", "adapter"].map(|name| self.folder.file(name));
        for folder in inner.iter().map(PathBuf::as_path).chain([self.folder.path()]) {
            if folder.exists() {
                sweep(folder).context("removing what was left over")?;
            }
        }
        Ok(self.folder)
    }
}

/// Whether a run has come to its end: only one that was interrupted goes on.
fn has_ended(folder: &RunFolder) -> bool {
    let summary = Summary::read(folder.path());
    summary.is_ok_and(|summary| summary.is_some_and(|summary| summary.ended != StopReason::Interrupted))
}

/// The keys that differ in something that changes the result, with both values.
fn differences(before: &Table, config: &RunConfig) -> Result<Vec<String>> {
    let mut then = RunConfig::read(before).context("the configuration of the run's folder")?;
    // The model may have moved; what depends on it is settled by the one that is there.
    then.model.path.clone_from(&config.model.path);
    let family = Family::of(&then.model.path)?;
    fit(&mut then, family)?;
    let (mut before, mut now) = (BTreeMap::new(), BTreeMap::new());
    flatten("", &Table::try_from(&then).context("comparing configurations")?, &mut before);
    flatten("", &Table::try_from(config).context("comparing configurations")?, &mut now);
    let keys: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let text = |value: Option<&Value>| value.map_or("not given".to_owned(), ToString::to_string);
    let free = |key: &str| {
        let among = |list: &[&str]| {
            list.iter().any(|free| *free == key || free.ends_with('.') && key.starts_with(free))
        };
        among(&FREE) || config.early_stopping.is_none() && among(&FREE_WITHOUT_STOPPING)
    };
    Ok(keys
        .into_iter()
        .filter(|key| !free(key))
        .filter(|key| before.get(*key) != now.get(*key))
        .map(|key| format!("{key}: {} before, {} now", text(before.get(key)), text(now.get(key))))
        .collect())
}

/// The values of a table by their dotted keys.
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
