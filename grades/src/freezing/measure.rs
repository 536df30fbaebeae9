//! The update, and what is measured with it.

use tch::Tensor;

use super::FreezingOptimizer;
use super::reading::{Clipped, Reading, Scaled};
use crate::component::Component;
use crate::error::Result;
use crate::optim::{GradScale, GradStats, Hyperparameter, InnerOptimizer, StatsRequest, StepRequest};
use crate::parameters::ParamId;
use crate::statistic::Statistic;

/// What a step multiplies the gradients by.
#[derive(Debug)]
pub(super) enum Scale {
    One,
    Factor(f64),
    /// So that their norm is at most this: one over a scalar on their device.
    ToNorm(f64, Tensor),
}

impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// Applies the update of this step; what was measured with it, when a policy or a clip asked for it.
    pub(super) fn update(&mut self, step: u64, scale: &Scale) -> Result<Option<Reading>> {
        let clipped = self.clipped.take();
        let due = self.is_due(step);
        let measures = due || self.is_followed();
        let components: Vec<usize> = match measures {
            true => self.watched_components().map(|(index, _)| index).collect(),
            false => Vec::new(),
        };
        let measured = self.ids_of_all(&components);
        let deltas = if measures && clipped.is_none() { self.deltas(&measured)? } else { Vec::new() };
        let stats = self.stats_request(due, &measured, clipped.as_ref());
        let (grad_scale, scaled) = match scale {
            Scale::One => (GradScale::Factor(1.0), Scaled::By(1.0)),
            Scale::Factor(factor) => (GradScale::Factor(*factor), Scaled::By(*factor)),
            Scale::ToNorm(max, divisor) => (GradScale::Divisor(divisor), Scaled::ToNorm(*max)),
        };
        let mut sums = GradStats::new(self.parameters.len());
        let request = StepRequest {
            parameters: &self.parameters,
            active: &self.active,
            measured: &measured,
            stats,
            scale: grad_scale,
        };
        self.inner.step_measured(&request, &mut sums)?;
        self.steps = step;
        if !measures && clipped.is_none() {
            return Ok(None);
        }
        sums.send()?;
        let mut reading = Reading {
            step,
            learning_rate: self.inner.get(0, Hyperparameter::LearningRate),
            due,
            sums,
            clipped,
            scale: scaled,
            deltas,
            weight_deltas: Vec::new(),
            micro: None,
            rates: Vec::new(),
            components,
        };
        if let Some(clipped) = &mut reading.clipped {
            clipped.sums.send()?;
            reading.deltas = std::mem::take(&mut clipped.deltas);
        }
        if !self.instruments.filters.is_empty() {
            // Decay and gain are those of a component's first parameter: its parameters are of one group.
            let first = |index: &usize| self.ids_of(*index).next();
            let ids = reading.components.iter().filter_map(first);
            reading.rates = ids.map(|id| reading.sums.rates(id)).collect();
        }
        if due && self.reads(Statistic::WeightDeltaL1) {
            reading.weight_deltas = self.instruments.weights.deltas(&self.handles(&measured))?;
        }
        if due && self.compares_batches() && self.instruments.micro.count >= 2 {
            reading.micro = self.instruments.micro.first.take();
        }
        Ok(Some(reading))
    }

    /// The statistics of the components' parameters that this step needs.
    fn stats_request(&self, due: bool, measured: &[ParamId], clipped: Option<&Clipped>) -> StatsRequest {
        let changed = clipped.is_some_and(|clipped| clipped.changed);
        let averages = !self.instruments.filters.is_empty();
        // Where neither a clip of values nor weight decay changes it, it follows from the gradients' own sums.
        let moment_input = averages && (changed || self.has_coupled_decay(measured));
        StatsRequest {
            // A policy that reads nothing is asked all the same, about the components that have a gradient.
            gradients: clipped.is_none() && !measured.is_empty() && !self.tracker.statistics().is_empty(),
            moment_input,
            moments: due && self.reads(Statistic::SignalFraction),
            updates: due && self.reads(Statistic::UpdateMeanAbs),
            rates: averages,
        }
    }

    /// Returns whether weight decay enters the moments of one of these parameters.
    fn has_coupled_decay(&self, ids: &[ParamId]) -> bool {
        let decays = |id: &ParamId| {
            let group = self.parameters.get(*id).map_or(0, |parameter| parameter.group());
            self.inner.get(group, Hyperparameter::WeightDecay).is_some_and(|decay| decay != 0.0)
        };
        self.inner.capabilities().coupled_decay && ids.iter().any(decays)
    }

    /// The sums of the gradients before a clip changes them, unless one before it took them: of all active
    /// parameters where their norm is wanted.
    pub(super) fn before_clip(&mut self, norm: bool) -> Result<&mut Clipped> {
        let taken = match self.clipped.take() {
            Some(clipped) => clipped,
            None => {
                let components: Vec<usize> = self.watched_components().map(|(index, _)| index).collect();
                let watched = self.ids_of_all(&components);
                let mut sums = GradStats::new(self.parameters.len());
                let step = self.steps + 1;
                if norm {
                    sums.add_gradients(&self.parameters, &self.active, true)?;
                } else if self.is_due(step) || self.is_followed() {
                    let reads = !self.tracker.statistics().is_empty();
                    sums.add_gradients(&self.parameters, &watched, reads)?;
                }
                let deltas = self.deltas(&watched)?;
                Clipped { sums, deltas, has_norm: norm, factor: 1.0, changed: false }
            }
        };
        Ok(self.clipped.insert(taken))
    }

    /// Whether this step is checked.
    pub(super) fn is_due(&self, step: u64) -> bool {
        self.tracker.is_due(step)
    }

    /// Whether a statistic must be followed from step to step, whatever is checked.
    fn is_followed(&self) -> bool {
        self.reads(Statistic::SignalFraction) || self.reads(Statistic::GradDeltaL1)
    }

    /// Whether a policy reads this statistic.
    pub(super) fn reads(&self, statistic: Statistic) -> bool {
        self.tracker.statistics().contains(statistic)
    }

    /// The components whose policies are asked.
    pub(super) fn watched_components(&self) -> impl Iterator<Item = (usize, &Component)> {
        self.tracker.components().iter().enumerate().filter(|(index, _)| self.tracker.is_active(*index))
    }

    /// The parameters of a component.
    pub(super) fn ids_of(&self, component: usize) -> impl Iterator<Item = ParamId> + '_ {
        let parameters =
            self.tracker.components().get(component).map(|component| component.parameters.as_slice());
        parameters.unwrap_or_default().iter().map(|position| ParamId::new(*position))
    }

    /// The parameters of these components.
    pub(super) fn ids_of_all(&self, components: &[usize]) -> Vec<ParamId> {
        components.iter().flat_map(|index| self.ids_of(*index)).collect()
    }

    /// The changes of the gradients since the last step, by parameter; empty when no policy reads them.
    fn deltas(&mut self, ids: &[ParamId]) -> Result<Vec<Option<f64>>> {
        if !self.reads(Statistic::GradDeltaL1) {
            return Ok(Vec::new());
        }
        let gradients = self.handles(ids).into_iter().map(|(id, tensor)| (id, tensor.grad()));
        let gradients: Vec<_> = gradients.filter(|(_, gradient)| gradient.defined()).collect();
        self.instruments.gradients.deltas(&gradients)
    }

    /// Handles to the tensors of these parameters.
    fn handles(&self, ids: &[ParamId]) -> Vec<(ParamId, Tensor)> {
        ids.iter().copied().zip(self.tensors(ids).map(Tensor::shallow_clone)).collect()
    }
}
