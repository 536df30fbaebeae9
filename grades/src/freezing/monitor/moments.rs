//! Moving averages that follow the optimizer's moments.

use super::measurement::Measurement;
use crate::component::Component;
use crate::statistic::MomentFilter;

/// The moving averages that the signal fraction needs, by component; empty when no policy reads it.
#[derive(Debug)]
pub(super) struct Moments {
    filters: Vec<MomentFilter>,
}

impl Moments {
    /// Creates the averages of this many components.
    pub(super) fn new(components: usize) -> Self {
        Self { filters: vec![MomentFilter::default(); components] }
    }

    /// Returns whether a policy reads them.
    pub(super) fn are_read(&self) -> bool {
        !self.filters.is_empty()
    }

    /// Follows the optimizer's moments through an update.
    pub(super) fn follow(&mut self, measurement: &Measurement, components: &[Component]) {
        for (index, rates) in measurement.components.iter().zip(&measurement.rates) {
            let squares = measurement.moment_input(&components[*index]);
            if let (Some(rates), Some(squares)) = (rates, squares) {
                let filter = &mut self.filters[*index];
                let gain = if filter.is_new() { rates.first_gain } else { rates.gain };
                filter.step(rates.decay, gain, squares);
            }
        }
    }

    /// Returns the signal fraction of a component whose first moment has this sum of squares.
    pub(super) fn signal_fraction(&self, index: usize, squares: f64) -> Option<f64> {
        self.filters[index].signal_fraction(squares)
    }

    /// Begins anew for a component.
    pub(super) fn forget(&mut self, index: usize) {
        if let Some(filter) = self.filters.get_mut(index) {
            *filter = MomentFilter::default();
        }
    }

    /// Returns the state that a checkpoint stores.
    pub(super) fn state(&self) -> Vec<MomentFilter> {
        self.filters.clone()
    }

    /// Returns the averages with what [`state`](Self::state) returned, or why it does not fit.
    pub(super) fn restored(&self, filters: Vec<MomentFilter>) -> Result<Self, String> {
        let (found, expected) = (filters.len(), self.filters.len());
        if found != expected {
            return Err(format!("it has averages of {found} components, expected {expected}"));
        }
        Ok(Self { filters })
    }
}
