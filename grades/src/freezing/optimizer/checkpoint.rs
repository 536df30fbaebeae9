//! Saves the state of a run's optimizer and freezes to a file, and loads it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tch::Tensor;

use super::FreezingOptimizer;
use crate::checkpoint::{self, Bytes, FORMAT_VERSION, Header, ParameterHeader};
use crate::error::{Error, Result};
use crate::freezing::cooldown::CooldownState;
use crate::freezing::divided::{needs, receive_state, send_state};
use crate::freezing::monitor::MonitorState;
use crate::freezing::over_ranks::OverRanks;
use crate::freezing::params::ParamState;
use crate::optim::{InnerOptimizer, OptimizerState, ParameterState, StatefulOptimizer};
use crate::parameters::{ParamId, Parameters};
use crate::torch::averages;

/// The prefixes of the names that tensors have in the file.
const OPTIMIZER: &str = "optimizer/";
const GRADIENT: &str = "gradient/";
const WEIGHT: &str = "weight/";
const AVERAGE: &str = "average/";

/// A copy of a wrapper's state on the host, from [`FreezingOptimizer::saved_state`].
#[derive(Debug)]
pub struct SavedState {
    text: String,
    tensors: Vec<(String, Bytes)>,
}

impl SavedState {
    /// Writes the file that [`FreezingOptimizer::load`] reads, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when it cannot be written; a file that was there before is unchanged.
    pub fn write(&self, path: &Path) -> Result<()> {
        checkpoint::write(path, FORMAT_VERSION, &self.text, &self.tensors)
    }
}

/// The tensors of a file by their use.
#[derive(Default)]
struct Tensors {
    /// Of each parameter, the inner optimizer's state by field.
    optimizer: BTreeMap<String, BTreeMap<String, Tensor>>,
    gradients: Vec<(ParamId, Tensor)>,
    weights: Vec<(ParamId, Tensor)>,
    means: Vec<(ParamId, Tensor)>,
}

// The bound is on each method, so that the compiler shows the notes of `StatefulOptimizer` where one is called.
impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// Writes the state that the next step depends on to a file, without the model's parameters and torch's random
    /// numbers.
    ///
    /// To be called between steps: pending gradients are not saved. k + n steps equal k steps, `save`, `load` into a
    /// wrapper made in the same way on a model with the same parameters, and n steps, bit by bit. The file carries a
    /// checksum; it is written under another name and renamed, so that it is either whole or absent.
    ///
    /// Deferred statistics ([`step`](Self::step)) are read first, and observers get a report of them.
    ///
    /// ```
    /// use grades::optim::AdamConfig;
    /// use grades::policy::Never;
    /// use grades::{FreezingConfig, FreezingOptimizer};
    /// use tch::{Device, Kind, nn};
    ///
    /// let vs = nn::VarStore::new(Device::Cpu);
    /// let w = (vs.root() / "block" / 0).ones("weight", &[2, 2]);
    /// let config = FreezingConfig::new(Never);
    /// let make = || FreezingOptimizer::new(AdamConfig::adamw().build(&vs, 0.1)?, &vs, &config, 10);
    ///
    /// let folder = tempfile::tempdir()?;
    /// let file = folder.path().join("optimizer.safetensors");
    /// let mut optimizer = make()?;
    /// optimizer.backward_step(&(&w * &w).sum(Kind::Float))?;
    /// optimizer.save(&file)?;
    ///
    /// let mut again = make()?;
    /// again.load(&file)?;
    /// assert_eq!(again.steps(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the file cannot be written; a file that was there before is unchanged. [`Error::Torch`] when
    /// libtorch refuses.
    pub fn save(&mut self, path: &Path) -> Result<()>
    where
        O: StatefulOptimizer,
    {
        self.saved_state()?.write(path)
    }

    /// Copies the state that [`save`](Self::save) writes to the host, so that another thread can write it while the run
    /// goes on.
    ///
    /// Calls [`flush`](Self::flush) first. Where the state is divided over the ranks of a group, it is gathered here: only
    /// rank 0 calls it, and all others [`send_state`](Self::send_state) meanwhile. The result is the same as without.
    ///
    /// # Errors
    ///
    /// [`Error::Torch`] when libtorch refuses.
    pub fn saved_state(&mut self) -> Result<SavedState>
    where
        O: StatefulOptimizer,
    {
        self.flush()?;
        let mut inner = self.inner.save_state();
        let (params, mut monitor, cooldown) =
            (self.params.state(), self.monitor.state(), self.cooldown.state());
        if let Some(ranks) = &self.ranks {
            receive_state(ranks, self.params.all(), &mut inner, &mut monitor.gradients)?;
        }
        let frozen: BTreeSet<ParamId> = params.frozen.into_iter().collect();
        let mut tensors = Vec::new();
        let mut headers = Vec::new();
        for (id, parameter) in self.params.all().iter() {
            let name = parameter.name();
            let saved = inner.parameters.get(name);
            headers.push(ParameterHeader {
                name: name.to_owned(),
                shape: parameter.shape(),
                held: frozen.contains(&id),
                released: saved.is_some_and(|saved| saved.released),
                factor: saved.map_or(1.0, |saved| saved.factor),
                steps: saved.map_or(0, |saved| saved.steps),
                averaged: cooldown.weights.get(&id).copied().unwrap_or(0.0),
            });
            for (field, tensor) in saved.iter().flat_map(|saved| &saved.tensors) {
                tensors.push((format!("{OPTIMIZER}{name}/{field}"), tensor.shallow_clone()));
            }
        }
        let copies = [(GRADIENT, monitor.gradients), (WEIGHT, monitor.weights), (AVERAGE, cooldown.means)];
        for (prefix, copies) in copies {
            for (id, copy) in copies {
                let name = self.params.all().get(id).map_or("", |parameter| parameter.name());
                tensors.push((format!("{prefix}{name}"), copy));
            }
        }
        let header = Header {
            steps: self.steps,
            optimizer: inner.name,
            hyperparameters: inner.hyperparameters,
            parameters: headers,
            tracker: self.tracker.state()?,
            filters: monitor.filters,
            factors: cooldown.factors,
            standing: cooldown.counts,
            closed_blocks: params.closed_blocks,
            micro_batches_seen: monitor.micro_batches_seen,
        };
        let text = toml::to_string(&header).map_err(|error| Error::State {
            what: "the optimizer".to_owned(),
            reason: format!("it cannot be written as TOML: {error}"),
        })?;
        let state = SavedState { text, tensors: checkpoint::copy(tensors)? };
        self.cooldown.saved();
        Ok(state)
    }

    /// Sends the state that this rank owns to rank 0, which saves meanwhile ([`save`](Self::save),
    /// [`saved_state`](Self::saved_state)). Does nothing on rank 0, or unless the state is divided over the ranks of a group.
    ///
    /// Calls [`flush`](Self::flush) first, as those do.
    ///
    /// # Errors
    ///
    /// [`Error::Torch`] when libtorch refuses.
    #[cfg_attr(feature = "distributed", doc = "[`Error::Ranks`] when a rank is gone.")]
    pub fn send_state(&mut self) -> Result<()>
    where
        O: StatefulOptimizer,
    {
        self.flush()?;
        let Some(ranks) = self.ranks.as_ref().filter(|ranks| ranks.owners().is_some()) else { return Ok(()) };
        send_state(ranks, self.params.all(), &self.inner.save_state(), &self.monitor.state().gradients)
    }

    /// Loads the state that [`save`](Self::save) wrote. On an error nothing is changed.
    ///
    /// The caller loads the model's parameters, before or after this call. Frozen parameters have `requires_grad` off
    /// afterwards, and all gradients are undefined.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the file cannot be read; [`Error::State`] that names the difference: a newer version, a damaged
    /// file, other parameters, another optimizer, configuration or policy.
    pub fn load(&mut self, path: &Path) -> Result<()>
    where
        O: StatefulOptimizer,
    {
        let refused = |reason: String| refused(path, reason);
        let (text, tensors) = checkpoint::read(path, FORMAT_VERSION)?;
        let header: Header = toml::from_str(&text).map_err(|error| refused(error.message().to_owned()))?;
        check_parameters(&header, self.params.all()).map_err(refused)?;
        let mut tensors = sort(path, tensors, self.params.all())?;
        let owners = self.ranks.as_ref().and_then(OverRanks::owners);
        let parameters = self.params.all();
        tensors.gradients.retain(|(id, _)| needs(owners, *id));
        tensors.optimizer.retain(|name, _| parameters.id_of(name).is_none_or(|id| needs(owners, id)));

        let mut tracker = self.tracker.clone();
        tracker.restore(&header.tracker)?;
        let id_of = |saved: &ParameterHeader| self.params.all().id_of(&saved.name);
        let averaged = header.parameters.iter().filter(|saved| saved.averaged != 0.0);
        let monitor = MonitorState {
            filters: header.filters,
            gradients: tensors.gradients,
            weights: tensors.weights,
            micro_batches_seen: header.micro_batches_seen,
        };
        let cooldown = CooldownState {
            factors: header.factors,
            counts: header.standing,
            weights: averaged.filter_map(|saved| Some((id_of(saved)?, saved.averaged))).collect(),
            means: tensors.means,
        };
        let params = ParamState {
            frozen: header.parameters.iter().filter(|saved| saved.held).filter_map(id_of).collect(),
            closed_blocks: header.closed_blocks,
        };
        let monitor = self.monitor.restored(monitor).map_err(refused)?;
        let cooldown = self.cooldown.restored(cooldown).map_err(refused)?;
        let inner =
            optimizer_state(header.optimizer, header.hyperparameters, header.parameters, tensors.optimizer);

        self.inner.load_state(&inner.map_err(refused)?)?;
        self.tracker = tracker;
        self.monitor = monitor;
        self.cooldown = cooldown;
        self.steps = header.steps;
        self.params.restore(params)?;
        if let Some(ranks) = &mut self.ranks {
            ranks.set_changed();
        }
        self.zero_grad()
    }
}

/// Checks that a file is of the same parameters.
fn check_parameters(header: &Header, parameters: &Parameters) -> Result<(), String> {
    let here: BTreeMap<&str, Vec<i64>> =
        parameters.iter().map(|(_, parameter)| (parameter.name(), parameter.shape())).collect();
    for ParameterHeader { name, shape: saved, .. } in &header.parameters {
        match here.get(name.as_str()) {
            None => {
                return Err(format!(
                    "the model has no trainable parameter \"{name}\"; load the state into a model in which all that the \
                     run trained has requires_grad on, as when the run began"
                ));
            }
            Some(shape) if shape != saved => {
                return Err(format!("parameter \"{name}\" was {saved:?} and is {shape:?} here"));
            }
            Some(_) => {}
        }
    }
    if header.parameters.len() != here.len() {
        let saved: BTreeSet<&str> = header.parameters.iter().map(|saved| saved.name.as_str()).collect();
        let missing = here.keys().find(|name| !saved.contains(*name)).copied().unwrap_or("a name twice");
        return Err(format!("it has nothing of the parameter \"{missing}\""));
    }
    Ok(())
}

/// Sorts the tensors of a file by their use.
fn sort(path: &Path, tensors: Vec<(String, Tensor)>, parameters: &Parameters) -> Result<Tensors> {
    let mut sorted = Tensors::default();
    for (name, tensor) in tensors {
        let unknown = || refused(path, format!("the tensor \"{name}\" is unknown"));
        if let Some(rest) = name.strip_prefix(OPTIMIZER) {
            let (parameter, field) = rest.rsplit_once('/').ok_or_else(unknown)?;
            sorted.optimizer.entry(parameter.to_owned()).or_default().insert(field.to_owned(), tensor);
            continue;
        }
        let (prefix, parameter) = name.split_at(name.find('/').ok_or_else(unknown)? + 1);
        let id = parameters.id_of(parameter).ok_or_else(unknown)?;
        let like = parameters.get(id).map(|parameter| parameter.tensor()).ok_or_else(unknown)?;
        let (list, dtype) = match prefix {
            GRADIENT => (&mut sorted.gradients, like.kind()),
            WEIGHT => (&mut sorted.weights, like.kind()),
            AVERAGE => (&mut sorted.means, averages::kind_of_mean(like)),
            _ => return Err(unknown()),
        };
        if like.size() != tensor.size() || dtype != tensor.kind() {
            return Err(refused(path, format!("the tensor \"{name}\" is of another shape or kind")));
        }
        let moved = tensor.f_to_device(like.device());
        list.push((id, moved.map_err(|error| Error::torch("loading a copy", &error))?));
    }
    Ok(sorted)
}

/// Assembles the inner optimizer's state, or names a tensor of an unknown parameter.
fn optimizer_state(
    name: String,
    hyperparameters: toml::Table,
    parameters: Vec<ParameterHeader>,
    mut tensors: BTreeMap<String, BTreeMap<String, Tensor>>,
) -> Result<OptimizerState, String> {
    let state = |saved: ParameterHeader| {
        let ParameterHeader { name, released, factor, steps, .. } = saved;
        let tensors = tensors.remove(&name).unwrap_or_default();
        (name, ParameterState { released, factor, steps, tensors })
    };
    let parameters = parameters.into_iter().map(state).collect();
    match tensors.keys().next() {
        None => Ok(OptimizerState { name, hyperparameters, parameters }),
        Some(parameter) => Err(format!("the tensor \"{OPTIMIZER}{parameter}\" is unknown")),
    }
}

fn refused(path: &Path, reason: String) -> Error {
    Error::State { what: path.display().to_string(), reason }
}
