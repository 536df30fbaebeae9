//! The whole state of a run's optimizer and freezes, to a file and back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tch::Tensor;

use super::FreezingOptimizer;
use super::average::Mean;
use crate::checkpoint::{self, Bytes, FORMAT_VERSION, Header, ParameterHeader};
use crate::error::{Error, Result};
use crate::optim::{OptimizerState, ParameterState, StatefulOptimizer};
use crate::parameters::ParamId;
use crate::torch::averages;

/// Where the file has the tensors of the optimizer, the copies of gradients and weights, and the means of weights.
const PREFIXES: [&str; 4] = ["optimizer/", "gradient/", "weight/", "average/"];

/// A copy of a wrapper's state on the host, as [`FreezingOptimizer::saved_state`] makes it.
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
    /// [`Error::Io`] when it cannot be written; what was there before stays.
    pub fn write(&self, path: &Path) -> Result<()> {
        checkpoint::write(path, FORMAT_VERSION, &self.text, &self.tensors)
    }
}

impl<O: StatefulOptimizer> FreezingOptimizer<O> {
    /// Writes all that the next step depends on, but the parameters themselves and torch's random numbers, to a file.
    ///
    /// To be called between steps: gradients that are held are not saved. k + n steps are k steps, `save`, `load` into
    /// a wrapper made in the same way on a model with the same parameters, and n steps, bit by bit. The file is
    /// written under another name and renamed, so that there is a whole one or none; it carries a checksum.
    ///
    /// Statistics that are still to be read from a device ([`step`](Self::step)) are read now and told to the
    /// observers in a report of their own.
    ///
    /// ```
    /// # use grades::policy::{Decision, FreezePolicy, Observation};
    /// # use grades::statistic::StatisticSet;
    /// # #[derive(Debug, Clone)]
    /// # struct Never;
    /// # impl FreezePolicy for Never {
    /// #     fn name(&self) -> &'static str { "never" }
    /// #     fn statistics(&self) -> StatisticSet { StatisticSet::default() }
    /// #     fn decide(&mut self, _: &Observation<'_>) -> Decision { Decision::Keep }
    /// # }
    /// # use grades::{FreezingConfig, FreezingOptimizer};
    /// # use grades::component::{ComponentConfig, ComponentKind};
    /// # use grades::optim::AdamConfig;
    /// # use tch::{Device, Kind, nn};
    /// # let vs = nn::VarStore::new(Device::Cpu);
    /// # let w = vs.root().ones("w", &[2]);
    /// # let components = ComponentConfig::default().with_pattern("w", ComponentKind::Up)?;
    /// # let config = FreezingConfig::with_policy(Never).components(components);
    /// # let make = || FreezingOptimizer::new(AdamConfig::adamw().build(&vs, 0.1)?, &vs, &config, 10);
    /// # let folder = tempfile::tempdir()?;
    /// # let file = folder.path().join("optimizer.safetensors");
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
    /// [`Error::Io`] when the file cannot be written; what was there before stays. [`Error::Torch`] when libtorch refuses.
    pub fn save(&mut self, path: &Path) -> Result<()> {
        self.saved_state()?.write(path)
    }

    /// Copies to the host what [`save`](Self::save) writes, so that another thread can write it while the run goes on.
    ///
    /// Calls [`settle`](Self::flush) first.
    ///
    /// # Errors
    ///
    /// [`Error::Torch`] when libtorch refuses.
    pub fn saved_state(&mut self) -> Result<SavedState> {
        self.flush()?;
        let state = self.inner.save_state();
        let held: BTreeSet<ParamId> = self.held.iter().copied().collect();
        let mut tensors = Vec::new();
        let mut parameters = Vec::new();
        let means: BTreeMap<ParamId, &Mean> = self.averages.iter().collect();
        for (id, parameter) in self.parameters.iter() {
            let name = parameter.name();
            let saved = state.parameters.get(name);
            parameters.push(ParameterHeader {
                name: name.to_owned(),
                shape: parameter.shape(),
                held: held.contains(&id),
                released: saved.is_some_and(|saved| saved.released),
                factor: saved.map_or(1.0, |saved| saved.factor),
                steps: saved.map_or(0, |saved| saved.steps),
                averaged: means.get(&id).map_or(0.0, |mean| mean.weight),
            });
            if let Some(mean) = means.get(&id) {
                tensors.push((format!("{}{name}", PREFIXES[3]), mean.tensor.shallow_clone()));
            }
            for (field, tensor) in saved.iter().flat_map(|saved| &saved.tensors) {
                tensors.push((format!("{}{name}/{field}", PREFIXES[0]), tensor.shallow_clone()));
            }
        }
        let copies = [&self.instruments.gradients, &self.instruments.weights];
        for (prefix, copies) in PREFIXES[1..].iter().zip(copies) {
            for (id, copy) in copies.iter() {
                let name = self.parameters.get(id).map_or("", |parameter| parameter.name());
                tensors.push((format!("{prefix}{name}"), copy.shallow_clone()));
            }
        }
        let (told, standing) = self.factors.saved();
        let header = Header {
            steps: self.steps,
            optimizer: state.name,
            hyperparameters: state.hyperparameters,
            parameters,
            tracker: self.tracker.state(),
            filters: self.instruments.filters.clone(),
            factors: told.to_vec(),
            standing,
            closed_blocks: self.followers.closed().collect(),
            micro_batches_seen: self.instruments.micro.seen,
        };
        let text = toml::to_string(&header).map_err(|error| Error::State {
            what: "the optimizer".to_owned(),
            reason: format!("it cannot be written as TOML: {error}"),
        })?;
        Ok(SavedState { text, tensors: checkpoint::copy(tensors)? })
    }

    /// Takes back what [`save`](Self::save) wrote. On an error nothing is changed.
    ///
    /// The model's parameters are to be loaded by whoever saved them, in any order with this call. What was frozen has
    /// `requires_grad` off afterwards. Gradients that are held are dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the file cannot be read; [`Error::State`] that names what differs: a newer version, a damaged file,
    /// other parameters, another optimizer, configuration or policy.
    pub fn load(&mut self, path: &Path) -> Result<()> {
        let (text, tensors) = checkpoint::read(path, FORMAT_VERSION)?;
        let header: Header =
            toml::from_str(&text).map_err(|error| refused(path, error.message().to_owned()))?;
        self.check_parameters(path, &header)?;
        let mut tracker = self.tracker.clone();
        tracker.restore(&header.tracker)?;
        let components = if self.instruments.filters.is_empty() { 0 } else { tracker.total() };
        let factors = if self.factors.saved().0.is_empty() { 0 } else { self.parameters.len() };
        if (header.filters.len(), header.factors.len()) != (components, factors) {
            return Err(refused(path, "its averages are not of these components and parameters".to_owned()));
        }
        let (state, copies) = self.sort(path, &header, tensors)?;
        let [gradients, weights, means] = copies;
        self.instruments.gradients.check(&gradients).map_err(|reason| refused(path, reason))?;
        self.instruments.weights.check(&weights).map_err(|reason| refused(path, reason))?;

        let means = self.means(path, &header, means)?;

        self.inner.load_state(&state)?;
        self.averages.restore(means);
        self.instruments.gradients.put(gradients);
        self.instruments.weights.put(weights);
        self.instruments.filters = header.filters;
        self.instruments.micro = Default::default();
        self.instruments.micro.seen = header.micro_batches_seen;
        self.factors.restore(header.factors, header.standing);
        self.followers.restore(header.closed_blocks);
        self.tracker = tracker;
        self.steps = header.steps;
        (self.clipped, self.pending, self.caught_up) = (None, None, None);
        let (mut held, mut active) = (Vec::new(), Vec::new());
        for (id, saved) in self.parameters.ids().zip(&header.parameters) {
            if saved.held { held.push(id) } else { active.push(id) }
        }
        for tensor in self.tensors(&active) {
            // What is returned is another handle to the same tensor.
            let woken = tensor.f_set_requires_grad(true).map(drop);
            woken.map_err(|error| Error::torch("thawing a parameter", &error))?;
        }
        (self.held, self.active) = (held, active);
        self.hold_frozen()?;
        self.inner.zero_grad()
    }

    fn check_parameters(&self, path: &Path, header: &Header) -> Result<()> {
        let here: BTreeMap<&str, Vec<i64>> =
            self.parameters.iter().map(|(_, parameter)| (parameter.name(), parameter.shape())).collect();
        for saved in &header.parameters {
            match here.get(saved.name.as_str()) {
                None => return Err(refused(path, format!("the model has no parameter \"{}\"", saved.name))),
                Some(shape) if *shape != saved.shape => {
                    let (name, then) = (&saved.name, &saved.shape);
                    return Err(refused(
                        path,
                        format!("parameter \"{name}\" was {then:?} and is {shape:?} here"),
                    ));
                }
                Some(_) => {}
            }
        }
        if header.parameters.len() != here.len() {
            let saved: BTreeSet<&str> = header.parameters.iter().map(|saved| saved.name.as_str()).collect();
            let missing = here.keys().find(|name| !saved.contains(*name)).copied().unwrap_or("a name twice");
            return Err(refused(path, format!("it has nothing of the parameter \"{missing}\"")));
        }
        Ok(())
    }

    /// The means of weights, each with the weight that is in it: as many as the header tells of.
    fn means(
        &self,
        path: &Path,
        header: &Header,
        means: Vec<(ParamId, Tensor)>,
    ) -> Result<BTreeMap<ParamId, Mean>> {
        let weights = header.parameters.iter().filter(|saved| saved.averaged != 0.0);
        let weights: BTreeMap<ParamId, f64> =
            weights.filter_map(|saved| Some((self.parameters.id_of(&saved.name)?, saved.averaged))).collect();
        let sound = weights.values().all(|weight| weight.is_finite() && *weight > 0.0);
        let there: BTreeSet<ParamId> = means.iter().map(|(id, _)| *id).collect();
        if !sound || there != weights.keys().copied().collect() {
            return Err(refused(path, "its means of weights are not those that it tells of".to_owned()));
        }
        let weighted = |(id, tensor): (ParamId, Tensor)| (id, Mean { tensor, weight: weights[&id] });
        Ok(means.into_iter().map(weighted).collect())
    }

    /// The tensors of the file by what they are for.
    #[allow(clippy::type_complexity, reason = "three lists of one kind")]
    fn sort(
        &self,
        path: &Path,
        header: &Header,
        tensors: Vec<(String, Tensor)>,
    ) -> Result<(OptimizerState, [Vec<(ParamId, Tensor)>; 3])> {
        let one = |saved: &ParameterHeader| {
            let ParameterHeader { name, released, factor, steps, .. } = saved;
            let state = ParameterState {
                released: *released,
                factor: *factor,
                steps: *steps,
                tensors: BTreeMap::new(),
            };
            (name.clone(), state)
        };
        let mut state = OptimizerState {
            name: header.optimizer.clone(),
            hyperparameters: header.hyperparameters.clone(),
            parameters: header.parameters.iter().map(one).collect(),
        };
        let mut copies = [Vec::new(), Vec::new(), Vec::new()];
        for (name, tensor) in tensors {
            let unknown = || refused(path, format!("the tensor \"{name}\" is unknown"));
            if let Some(rest) = name.strip_prefix(PREFIXES[0]) {
                let (parameter, field) = rest.rsplit_once('/').ok_or_else(unknown)?;
                let saved = state.parameters.get_mut(parameter).ok_or_else(unknown)?;
                saved.tensors.insert(field.to_owned(), tensor);
                continue;
            }
            let place =
                PREFIXES[1..].iter().position(|prefix| name.starts_with(prefix)).ok_or_else(unknown)?;
            let parameter = name.split_once('/').map_or("", |(_, parameter)| parameter);
            let id = self.parameters.id_of(parameter).ok_or_else(unknown)?;
            let like = self.parameters.get(id).map(|parameter| parameter.tensor()).ok_or_else(unknown)?;
            let kind = if place == 2 { averages::kind_of_mean(like) } else { like.kind() };
            if like.size() != tensor.size() || kind != tensor.kind() {
                return Err(refused(path, format!("the tensor \"{name}\" is of another shape or kind")));
            }
            let moved = tensor.f_to_device(like.device());
            copies[place].push((id, moved.map_err(|error| Error::torch("loading a copy", &error))?));
        }
        Ok((state, copies))
    }
}

fn refused(path: &Path, reason: String) -> Error {
    Error::State { what: path.display().to_string(), reason }
}
