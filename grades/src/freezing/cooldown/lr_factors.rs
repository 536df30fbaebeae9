//! Learning-rate factors of components that cool, and of the parameters that follow them.

use std::collections::BTreeMap;

use super::CooldownState;
use crate::error::Result;
use crate::freezing::params::{ParamSet, ids_of};
use crate::optim::InnerOptimizer;
use crate::parameters::ParamId;
use crate::tracker::FreezeTracker;

/// The learning-rate factors that were last sent to the inner optimizer.
#[derive(Debug)]
pub(in crate::freezing) struct LrFactors {
    /// By parameter.
    sent: Vec<f64>,
    /// The numbers of cooling and of frozen components when they were sent.
    counts: (usize, usize),
}

/// Counts that differ from any that a tracker has.
const UNKNOWN: (usize, usize) = (usize::MAX, usize::MAX);

impl LrFactors {
    pub(super) fn new(parameters: usize) -> Self {
        Self { sent: vec![1.0; parameters], counts: (0, 0) }
    }

    /// Sends the factors for the update of this step, as far as they changed.
    ///
    /// A parameter of no component, such as a bias or a norm, has the mean factor of its transformer block, or of all
    /// components if it is in no block.
    pub(super) fn send(
        &mut self,
        step: u64,
        tracker: &FreezeTracker,
        params: &ParamSet,
        inner: &mut impl InnerOptimizer,
    ) -> Result<()> {
        let counts = (tracker.cooling(), tracker.frozen());
        if counts.0 == 0 && counts == self.counts {
            return Ok(());
        }
        self.counts = counts;
        let mut changed = Vec::new();
        let sent = &mut self.sent;
        let mut set = |id: ParamId, factor: f64| {
            if std::mem::replace(&mut sent[id.index()], factor) != factor {
                changed.push((id, factor));
            }
        };
        for (index, component) in tracker.components().iter().enumerate() {
            // The inner optimizer has released frozen parameters.
            if !tracker.is_frozen(index) {
                let factor = tracker.learning_rate_factor(index, step);
                ids_of(component).for_each(|id| set(id, factor));
            }
        }
        let mut means = BTreeMap::new();
        for (id, layer) in params.active_followers() {
            let mean = *means.entry(layer).or_insert_with(|| tracker.mean_factor(layer, step));
            set(id, mean);
        }
        if changed.is_empty() { Ok(()) } else { inner.set_lr_factors(&changed) }
    }

    /// Resets the factors of parameters that train at the full learning rate again.
    pub(super) fn reset(&mut self, ids: &[ParamId]) {
        for id in ids {
            if let Some(sent) = self.sent.get_mut(id.index()) {
                *sent = 1.0;
            }
        }
        // The counts may be unchanged; the factors of the followers must be sent again all the same.
        self.counts = UNKNOWN;
    }

    pub(super) fn state(&self) -> CooldownState {
        let counts = (self.counts.0 as u64, self.counts.1 as u64);
        CooldownState { factors: self.sent.clone(), counts, ..CooldownState::default() }
    }

    pub(super) fn from_state(state: CooldownState) -> Self {
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Self { sent: state.factors, counts: (count(state.counts.0), count(state.counts.1)) }
    }
}
