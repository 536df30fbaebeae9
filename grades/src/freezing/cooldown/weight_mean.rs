//! Means of the weights of components that cool, and of the parameters that follow them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use tch::Tensor;

use super::CooldownState;
use crate::error::Result;
use crate::freezing::params::{ParamSet, ids_of};
use crate::parameters::{ParamId, Parameters};
use crate::torch::{averages, byte_len};
use crate::tracker::FreezeTracker;

/// The weighted means of the parameters that cool.
#[derive(Debug, Default)]
pub(in crate::freezing) struct WeightMeans {
    means: BTreeMap<ParamId, Mean>,
    /// Whether a checkpoint has the present means.
    saved: bool,
}

/// A weighted mean of a parameter's values.
#[derive(Debug)]
struct Mean {
    tensor: Tensor,
    /// The total weight of the values in it.
    weight: f64,
}

impl WeightMeans {
    /// Adds the values after the update of this step.
    ///
    /// The weight of a value is the number of steps since the freeze was decided; that of a parameter of no component
    /// is the mean over the components of its transformer block, or over all components if it is in no block.
    pub(super) fn add(&mut self, step: u64, tracker: &FreezeTracker, params: &ParamSet) -> Result<()> {
        let begun = tracker.cooling() + tracker.frozen() > 0;
        if !begun || tracker.should_stop() {
            return Ok(());
        }
        let mut values = Vec::new();
        for (index, component) in tracker.components().iter().enumerate() {
            if tracker.is_cooling(index) {
                let weight = tracker.steps_since_decision(index, step) as f64;
                values.extend(ids_of(component).map(|id| (id, weight)));
            }
        }
        let mut weights = BTreeMap::new();
        for (id, layer) in params.active_followers() {
            let mean = || tracker.mean_steps_since_decision(layer, step);
            let weight = *weights.entry(layer).or_insert_with(mean);
            values.extend(Some((id, weight)).filter(|(_, weight)| *weight > 0.0));
        }
        let tensor = |(id, weight)| Some((id, params.all().get(id)?.tensor(), weight));
        let values: Vec<_> = values.into_iter().filter_map(tensor).collect();
        self.add_values(&values)
    }

    fn add_values(&mut self, values: &[(ParamId, &Tensor, f64)]) -> Result<()> {
        self.saved &= values.is_empty();
        for (id, tensor, weight) in values {
            let mean = match self.means.entry(*id) {
                Entry::Occupied(mean) => mean.into_mut(),
                Entry::Vacant(entry) => entry.insert(Mean { tensor: averages::begin(tensor)?, weight: 0.0 }),
            };
            mean.weight += weight;
        }
        let (mut means, mut tensors, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        for (id, tensor, weight) in values {
            let Some(mean) = self.means.get(id) else { continue };
            means.push(&mean.tensor);
            tensors.push(*tensor);
            shares.push(weight / mean.weight);
        }
        averages::move_towards(&means, &tensors, &shares)
    }

    /// Sets these parameters to their means, where there are any, and drops the means.
    pub(super) fn apply(&mut self, ids: &[ParamId], parameters: &Parameters) -> Result<()> {
        for id in ids {
            if let (Some(mean), Some(parameter)) = (self.means.get(id), parameters.get(*id)) {
                averages::put(&mean.tensor, parameter.tensor())?;
            }
        }
        self.forget(ids);
        Ok(())
    }

    pub(super) fn apply_all(&mut self, parameters: &Parameters) -> Result<()> {
        let ids: Vec<ParamId> = self.means.keys().copied().collect();
        self.apply(&ids, parameters)
    }

    pub(super) fn forget(&mut self, ids: &[ParamId]) {
        for id in ids {
            self.means.remove(id);
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.means.values().map(|mean| byte_len(&mean.tensor)).sum()
    }

    pub(super) fn saved(&mut self) {
        self.saved = true;
    }

    pub(super) fn state(&self) -> CooldownState {
        CooldownState {
            weights: self.means.iter().map(|(id, mean)| (*id, mean.weight)).collect(),
            means: self.means.iter().map(|(id, mean)| (*id, mean.tensor.shallow_clone())).collect(),
            ..CooldownState::default()
        }
    }

    /// Builds means from their state, or says why that is not sound.
    pub(super) fn from_state(state: CooldownState) -> Result<Self, String> {
        let CooldownState { weights, means: tensors, .. } = state;
        let mut means = BTreeMap::new();
        for (id, tensor) in tensors {
            if let Some(weight) = weights.get(&id).filter(|weight| weight.is_finite() && **weight > 0.0) {
                means.insert(id, Mean { tensor, weight: *weight });
            } else {
                return Err(format!("the mean of {id} has no weight above 0"));
            }
        }
        match weights.keys().find(|id| !means.contains_key(id)) {
            None => Ok(Self { means, saved: true }),
            Some(id) => Err(format!("the mean of {id} is missing")),
        }
    }
}

impl Drop for WeightMeans {
    fn drop(&mut self) {
        if !self.means.is_empty() && !self.saved && !std::thread::panicking() {
            tracing::warn!(
                target: "grades",
                parameters = self.means.len(),
                "a run ended without its averages: end it with FreezingOptimizer::finish, or save it"
            );
        }
    }
}
