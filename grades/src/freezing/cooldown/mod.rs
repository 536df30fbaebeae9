//! The cool-down of components before they freeze: falling learning rates, or means of weights.

mod lr_factors;
mod weight_mean;

use std::collections::BTreeMap;

use tch::Tensor;

use super::params::ParamSet;
use crate::error::Result;
use crate::optim::InnerOptimizer;
use crate::parameters::ParamId;
use crate::tracker::FreezeTracker;
use lr_factors::LrFactors;
use weight_mean::WeightMeans;

/// The cool-down of components before they freeze.
#[derive(Debug)]
pub(super) enum Cooldown {
    /// Components freeze at once.
    Off,
    /// The learning rate of a component falls to zero.
    Decay(LrFactors),
    /// A component freezes at the mean of its weights.
    WeightMean(WeightMeans),
}

/// The saved state of a [`Cooldown`].
#[derive(Debug, Default)]
pub(super) struct CooldownState {
    /// The learning-rate factor of each parameter; empty unless learning rates fall.
    pub(super) factors: Vec<f64>,
    /// The numbers of cooling and of frozen components when the factors were last sent.
    pub(super) counts: (u64, u64),
    /// The total weight of the values in each mean.
    pub(super) weights: BTreeMap<ParamId, f64>,
    pub(super) means: Vec<(ParamId, Tensor)>,
}

impl Cooldown {
    pub(super) fn new(tracker: &FreezeTracker, parameters: usize) -> Self {
        match (tracker.cools(), tracker.averages()) {
            (false, _) => Self::Off,
            (true, false) => Self::Decay(LrFactors::new(parameters)),
            (true, true) => Self::WeightMean(WeightMeans::default()),
        }
    }

    /// Sends the learning-rate factors for the update of this step to the inner optimizer, if they changed.
    pub(super) fn before_update(
        &mut self,
        step: u64,
        tracker: &FreezeTracker,
        params: &ParamSet,
        inner: &mut impl InnerOptimizer,
    ) -> Result<()> {
        match self {
            Self::Decay(factors) => factors.send(step, tracker, params, inner),
            Self::Off | Self::WeightMean(_) => Ok(()),
        }
    }

    /// Adds the weights after the update of this step to the means.
    pub(super) fn after_update(
        &mut self,
        step: u64,
        tracker: &FreezeTracker,
        params: &ParamSet,
    ) -> Result<()> {
        match self {
            Self::WeightMean(means) => means.add(step, tracker, params),
            Self::Off | Self::Decay(_) => Ok(()),
        }
    }

    /// Sets these parameters to their means, where there are any.
    pub(super) fn apply(&mut self, ids: &[ParamId], params: &ParamSet) -> Result<()> {
        match self {
            Self::WeightMean(means) => means.apply(ids, params.all()),
            Self::Off | Self::Decay(_) => Ok(()),
        }
    }

    /// Sets all parameters that have a mean to it.
    pub(super) fn apply_all(&mut self, params: &ParamSet) -> Result<()> {
        match self {
            Self::WeightMean(means) => means.apply_all(params.all()),
            Self::Off | Self::Decay(_) => Ok(()),
        }
    }

    /// Restarts the means of the followers of a thawed component; they are averaged anew once something cools again.
    pub(super) fn restart_followers(&mut self, layer: Option<u32>, params: &ParamSet) {
        if let Self::WeightMean(means) = self {
            means.forget(&params.followers_of(layer));
        }
    }

    /// Resets the learning-rate factors of thawed parameters.
    pub(super) fn thaw(&mut self, ids: &[ParamId]) {
        if let Self::Decay(factors) = self {
            factors.reset(ids);
        }
    }

    /// Returns the bytes of the means.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::WeightMean(means) => means.bytes(),
            Self::Off | Self::Decay(_) => 0,
        }
    }

    /// Returns the state that a checkpoint stores.
    pub(super) fn state(&self) -> CooldownState {
        match self {
            Self::Off => CooldownState::default(),
            Self::Decay(factors) => factors.state(),
            Self::WeightMean(means) => means.state(),
        }
    }

    /// Returns a cool-down of the same kind with what [`state`](Self::state) returned, or why it does not fit.
    pub(super) fn restored(&self, state: CooldownState) -> Result<Self, String> {
        let (found, expected) = (state.factors.len(), self.state().factors.len());
        if found != expected {
            return Err(format!("it has {found} learning-rate factors, expected {expected}"));
        }
        let has_means = !state.means.is_empty() || !state.weights.is_empty();
        if has_means && !matches!(self, Self::WeightMean(_)) {
            return Err("it has means of weights, but no component cools by averaging here".to_owned());
        }
        Ok(match self {
            Self::Off => Self::Off,
            Self::Decay(_) => Self::Decay(LrFactors::from_state(state)),
            Self::WeightMean(_) => Self::WeightMean(WeightMeans::from_state(state)?),
        })
    }

    /// Notes that the means were saved, so that dropping them loses nothing.
    pub(super) fn saved(&mut self) {
        if let Self::WeightMean(means) = self {
            means.saved();
        }
    }
}
