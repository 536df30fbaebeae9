//! Cooling by averaging: means of weights, and putting them in place.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use tch::Tensor;

use super::FreezingOptimizer;
use crate::Result;
use crate::optim::InnerOptimizer;
use crate::parameters::ParamId;
use crate::torch::averages;

/// The means of what cools.
#[derive(Debug, Default)]
pub(super) struct Averages {
    means: BTreeMap<ParamId, Mean>,
}

/// A mean of a parameter's values.
#[derive(Debug)]
pub(super) struct Mean {
    pub(super) tensor: Tensor,
    /// The weights of the values that are in it.
    pub(super) weight: f64,
}

impl Averages {
    /// Takes in the values of parameters, each with its weight.
    fn take(&mut self, values: &[(ParamId, &Tensor, f64)]) -> Result<()> {
        for (id, tensor, weight) in values {
            let mean = match self.means.entry(*id) {
                Entry::Occupied(mean) => mean.into_mut(),
                Entry::Vacant(place) => place.insert(Mean { tensor: averages::begin(tensor)?, weight: 0.0 }),
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

    /// The means that there are.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ParamId, &Mean)> {
        self.means.iter().map(|(id, mean)| (*id, mean))
    }

    /// Takes these for its means.
    pub(super) fn restore(&mut self, means: BTreeMap<ParamId, Mean>) {
        self.means = means;
    }

    fn forget(&mut self, ids: &[ParamId]) {
        for id in ids {
            self.means.remove(id);
        }
    }

    /// Bytes of the means.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = |mean: &Mean| (mean.tensor.numel() * mean.tensor.kind().elt_size_in_bytes()) as u64;
        self.means.values().map(bytes).sum()
    }
}

impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// Takes the weights after the update of this step into the means of what cools.
    ///
    /// The k-th value since the decision has the weight k. A parameter of no component has the mean of these weights over
    /// the components of its transformer block, or over all where it is in none.
    pub(super) fn average(&mut self) -> Result<()> {
        let begun = self.tracker.cooling() + self.tracker.frozen() > 0;
        if !self.tracker.averages() || !begun || self.tracker.should_stop() {
            return Ok(());
        }
        let mut values = Vec::new();
        for index in (0..self.tracker.total()).filter(|index| self.tracker.is_cooling(*index)) {
            let weight = self.tracker.steps_since_decision(index, self.steps) as f64;
            values.extend(self.ids_of(index).map(|id| (id, weight)));
        }
        let mut weights = BTreeMap::new();
        for (id, layer) in self.followers.iter().filter(|(id, _)| !self.followers.is_closed(*id)) {
            let mean = || self.tracker.mean_steps_since_decision(*layer, self.steps);
            let weight = *weights.entry(*layer).or_insert_with(mean);
            values.extend(Some((*id, weight)).filter(|(_, weight)| *weight > 0.0));
        }
        let tensor = |(id, weight)| Some((id, self.parameters.get(id)?.tensor(), weight));
        let values: Vec<_> = values.into_iter().filter_map(tensor).collect();
        self.averages.take(&values)
    }

    /// Puts the means of these parameters in their place, where there are any.
    pub(super) fn apply_averages_of(&mut self, ids: &[ParamId]) -> Result<()> {
        for id in ids {
            let (mean, parameter) = (self.averages.means.get(id), self.parameters.get(*id));
            if let (Some(mean), Some(parameter)) = (mean, parameter) {
                averages::put(&mean.tensor, parameter.tensor())?;
            }
        }
        self.averages.forget(ids);
        Ok(())
    }

    /// What follows a component that thaws is averaged anew, once something cools again.
    pub(super) fn restart_averages(&mut self, thawed: Option<u32>) {
        let follows = |layer: &Option<u32>| layer.is_none() || *layer == thawed;
        let ids: Vec<ParamId> =
            self.followers.iter().filter(|(_, layer)| follows(layer)).map(|(id, _)| *id).collect();
        self.averages.forget(&ids);
    }

    /// Puts the means of all that cools in place now, for a run that ends before it is frozen.
    ///
    /// Not needed where all components froze, or `stop_at` was reached: then it was done. Does nothing unless components
    /// cool by averaging ([`Cooling::Average`](crate::config::Cooling::Average)).
    ///
    /// # Errors
    ///
    /// [`Error::Torch`](crate::Error::Torch) when libtorch refuses.
    pub fn apply_averages(&mut self) -> Result<()> {
        let ids: Vec<ParamId> = self.averages.means.keys().copied().collect();
        self.apply_averages_of(&ids)
    }
}
