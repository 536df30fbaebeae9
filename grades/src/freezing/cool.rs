//! Cooling: factors on the learning rates of components, and of what follows them.

use std::collections::BTreeMap;

use super::FreezingOptimizer;
use crate::error::Result;
use crate::optim::InnerOptimizer;
use crate::parameters::{ParamId, Parameters};
use crate::tracker::FreezeTracker;

/// The factors on learning rates that the inner optimizer was last told.
#[derive(Debug, Default)]
pub(super) struct Factors {
    /// By parameter; empty when nothing cools.
    told: Vec<f64>,
    /// How many components cooled and were frozen when they were last told.
    standing: (usize, usize),
}

impl Factors {
    pub(super) fn new(tracker: &FreezeTracker, parameters: &Parameters) -> Self {
        if !tracker.cools() || tracker.averages() {
            return Self::default();
        }
        Self { told: vec![1.0; parameters.len()], standing: (0, 0) }
    }

    /// What was told, and how many components cooled and were frozen then.
    pub(super) fn saved(&self) -> (&[f64], (u64, u64)) {
        (&self.told, (self.standing.0 as u64, self.standing.1 as u64))
    }

    /// Takes back what [`saved`](Self::saved) gave.
    pub(super) fn restore(&mut self, told: Vec<f64>, standing: (u64, u64)) {
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        *self = Self { told, standing: (count(standing.0), count(standing.1)) };
    }
}

impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// Tells the inner optimizer the factors for the update of this step, as far as they changed.
    ///
    /// A parameter of no component, such as a bias or a norm, follows the mean factor of its transformer block, or
    /// of all components where it is in none.
    pub(super) fn cool(&mut self, step: u64) -> Result<()> {
        let standing = (self.tracker.cooling(), self.tracker.frozen());
        let moving = standing.0 > 0 || standing != self.factors.standing;
        if self.factors.told.is_empty() || !moving {
            return Ok(());
        }
        self.factors.standing = standing;
        let mut changed = Vec::new();
        let mut tell = |told: &mut Vec<f64>, id: ParamId, factor: f64| {
            if std::mem::replace(&mut told[id.index()], factor) != factor {
                changed.push((id, factor));
            }
        };
        for index in 0..self.tracker.total() {
            if self.tracker.is_frozen(index) {
                continue; // released: there is nothing to tell
            }
            let factor = self.tracker.learning_rate_factor(index, step);
            let positions = self.tracker.components()[index].parameters.iter();
            positions.for_each(|position| tell(&mut self.factors.told, ParamId::new(*position), factor));
        }
        let mut means = BTreeMap::new();
        for (id, layer) in self.followers.iter().filter(|(id, _)| !self.followers.is_closed(*id)) {
            let mean = *means.entry(*layer).or_insert_with(|| self.tracker.mean_factor(*layer, step));
            tell(&mut self.factors.told, *id, mean);
        }
        if changed.is_empty() { Ok(()) } else { self.inner.set_lr_factors(&changed) }
    }

    /// Readmitted parameters are back at the full learning rate.
    pub(super) fn forget_factors(&mut self, ids: &[ParamId]) {
        for id in ids {
            if let Some(told) = self.factors.told.get_mut(id.index()) {
                *told = 1.0;
            }
        }
        // As many may cool and be frozen as before; what follows them is to be told all the same.
        self.factors.standing = (usize::MAX, usize::MAX);
    }
}
