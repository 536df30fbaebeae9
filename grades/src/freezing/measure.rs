//! Reading the statistics: of the gradients before the update and before a clip, of the moments after it.

use tch::Tensor;

use super::FreezingOptimizer;
use super::instruments::wide;
use crate::optim::InnerOptimizer;
use crate::parameters::ParamId;
use crate::torch::gradients::{self, GradientSums};
use crate::{Component, ComponentSample, Error, GradientSnapshot, Result, Statistic, TwoBatch};

/// What was read of the present gradients.
#[derive(Debug)]
pub(super) struct Measured {
    /// One entry per parameter, in the order of ids.
    sums: Vec<Option<GradientSums>>,
    /// Σ|gₜ − gₜ₋₁|, in the same order; empty when not wanted.
    deltas: Vec<Option<f64>>,
    /// The L2 norm over all active parameters, when all of them were summed.
    pub(super) norm: Option<f64>,
    /// What clips and weight decay made of the gradients: what the optimizer's moments take in.
    averaged: Averaged,
}

/// What became of gradients before they were averaged.
#[derive(Debug)]
enum Averaged {
    /// They were multiplied by a factor, 1 without a clip.
    Scaled(f64),
    /// Something else; their sums afterwards, by parameter.
    Summed(Vec<Option<GradientSums>>),
}

impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// The sums for this step: those that a clip took, or new ones when a policy needs them.
    pub(super) fn measure(&mut self, step: u64) -> Result<Option<Measured>> {
        let mut measured = match self.measured.take() {
            Some(measured) => Some(measured),
            None => self.measure_anew(step)?,
        };
        if let Some(measured) = &mut measured {
            self.take_in_decay(measured)?;
        }
        Ok(measured)
    }

    /// New sums, when a policy needs them at this step.
    pub(super) fn measure_anew(&mut self, step: u64) -> Result<Option<Measured>> {
        if !self.is_due(step) && !self.is_followed() {
            return Ok(None);
        }
        let watched = self.watched();
        // A policy that reads nothing is asked all the same, about the components that have a gradient.
        let reads = !self.tracker.statistics().is_empty();
        let sums = if reads { self.sums(&watched)? } else { self.presences(&watched)? };
        Ok(Some(Measured::new(sums, self.deltas()?)))
    }

    /// Where weight decay is added to the gradients before they are averaged, the sums are those of both together.
    fn take_in_decay(&self, measured: &mut Measured) -> Result<()> {
        if self.instruments.filters.is_empty() {
            return Ok(());
        }
        let watched = self.watched();
        let decays = self.inner.gradient_decays(&watched)?;
        if decays.iter().all(|decay| *decay == 0.0) {
            return Ok(());
        }
        let _no_grad = tch::no_grad_guard();
        let mut taken = Vec::new();
        for ((id, tensor), decay) in self.handles(&watched).into_iter().zip(decays) {
            let gradient = tensor.grad();
            if gradient.defined() {
                let both = wide(&tensor).and_then(|tensor| tensor.f_mul_scalar(decay)?.f_add(&gradient));
                taken.push((id, both.map_err(|error| Error::torch("adding weight decay", &error))?));
            }
        }
        let tensors: Vec<&Tensor> = taken.iter().map(|(_, tensor)| tensor).collect();
        let mut sums = vec![None; self.parameters.len()];
        for ((id, _), found) in taken.iter().zip(gradients::sums_of_tensors(&tensors)?) {
            sums[id.index()] = Some(found);
        }
        measured.averaged = Averaged::Summed(sums);
        Ok(())
    }

    /// The L2 norm over all active parameters; what the statistics need is kept, unless a clip before this one did.
    pub(super) fn measure_norm(&mut self) -> Result<f64> {
        let sums = self.sums(&self.active)?;
        let norm = sums.iter().flatten().map(|sums| sums.squares).sum::<f64>().sqrt();
        match &mut self.measured {
            Some(first) => {
                first.norm.get_or_insert(norm);
            }
            None => {
                self.measured = Some(Measured { norm: Some(norm), ..Measured::new(sums, self.deltas()?) })
            }
        }
        Ok(norm)
    }

    /// Takes note that the measured gradients were multiplied by a factor.
    pub(super) fn note_scaled(&mut self, factor: f64) {
        let Some(measured) = &mut self.measured else { return };
        match &mut measured.averaged {
            Averaged::Scaled(scale) => *scale *= factor,
            Averaged::Summed(sums) => {
                for sums in sums.iter_mut().flatten() {
                    sums.squares *= factor * factor;
                }
            }
        }
    }

    /// Takes note that the measured gradients were changed in another way.
    pub(super) fn note_changed(&mut self) -> Result<()> {
        if self.measured.is_some() && !self.instruments.filters.is_empty() {
            let sums = self.sums(&self.watched())?;
            if let Some(measured) = &mut self.measured {
                measured.averaged = Averaged::Summed(sums);
            }
        }
        Ok(())
    }

    /// Follows the optimizer's moments through the update that was just applied.
    pub(super) fn follow(&mut self, measured: Option<&Measured>) -> Result<()> {
        let Some(measured) = measured.filter(|_| !self.instruments.filters.is_empty()) else { return Ok(()) };
        let watched: Vec<usize> = self.watched_components().map(|(index, _)| index).collect();
        let ids: Vec<ParamId> = watched.iter().filter_map(|index| self.ids_of(*index).next()).collect();
        // Decay and gain are those of the component's first parameter: its parameters are of one group.
        let moments = self.inner.moment_rates(&ids)?;
        for (index, rates) in watched.into_iter().zip(moments) {
            let squares = measured.averaged_squares(&self.tracker.components()[index]);
            if let (Some(rates), Some(squares)) = (rates, squares) {
                let filter = &mut self.instruments.filters[index];
                let gain = if filter.is_new() { rates.first_gain } else { rates.gain };
                filter.step(rates.decay, gain, squares);
            }
        }
        Ok(())
    }

    /// The statistics of all components, when this step is checked.
    pub(super) fn snapshot(
        &mut self,
        step: u64,
        measured: Option<&Measured>,
    ) -> Result<Option<GradientSnapshot>> {
        let Some(measured) = measured.filter(|_| self.is_due(step)) else { return Ok(None) };
        let wanted = self.tracker.statistics();
        let mut samples: Vec<Option<ComponentSample>> = vec![None; self.tracker.total()];
        for (index, component) in self.watched_components() {
            samples[index] = measured.of(component).map(|sums| match wanted.is_empty() {
                true => ComponentSample::new(component.elements),
                false => ComponentSample::from_sums(component.elements, sums.absolute, sums.squares),
            });
        }
        let mut set = |index: usize, statistic: Statistic, value: Option<f64>| {
            if let (Some(sample), Some(value)) = (&mut samples[index], value) {
                *sample = sample.with(statistic, value);
            }
        };
        let watched: Vec<usize> = self.watched_components().map(|(index, _)| index).collect();
        if wanted.contains(Statistic::GradDeltaL1) {
            for index in &watched {
                let delta = self.total(*index, &measured.deltas, |delta| *delta);
                set(*index, Statistic::GradDeltaL1, delta);
            }
        }
        if wanted.contains(Statistic::WeightDeltaL1) {
            let weights = self.handles(&self.watched());
            let deltas = self.instruments.weights.deltas(&weights)?;
            for index in &watched {
                set(*index, Statistic::WeightDeltaL1, self.total(*index, &deltas, |delta| *delta));
            }
        }
        if wanted.contains(Statistic::UpdateMeanAbs) {
            let updates = self.by_id(&self.watched(), |inner, ids| inner.update_sums(ids))?;
            for index in &watched {
                let elements = self.tracker.components()[*index].elements.max(1) as f64;
                let sum = self.total(*index, &updates, |update| *update);
                set(*index, Statistic::UpdateMeanAbs, sum.map(|sum| sum / elements));
            }
        }
        if wanted.contains(Statistic::SignalFraction) {
            let moments = self.by_id(&self.watched(), |inner, ids| inner.moment_squares(ids))?;
            for index in &watched {
                let squares = self.total(*index, &moments, |squares| *squares);
                let fraction =
                    squares.and_then(|squares| self.instruments.filters[*index].signal_fraction(squares));
                set(*index, Statistic::SignalFraction, fraction);
            }
        }
        if self.compares_batches() {
            for (index, estimate) in self.two_batch(&watched, measured) {
                set(index, Statistic::TwoBatchSignal, Some(estimate.signal));
                set(index, Statistic::TwoBatchNoise, Some(estimate.noise));
            }
        }
        Ok(Some(GradientSnapshot::new(step, samples).with_learning_rate(self.inner.lr())))
    }

    /// Signal and noise of each component, from the first micro-batch and the whole step.
    fn two_batch(&self, watched: &[usize], measured: &Measured) -> Vec<(usize, TwoBatch)> {
        let micro = &self.instruments.micro;
        let Some((share, first)) = micro.first.as_ref().filter(|_| micro.count >= 2) else {
            return Vec::new(); // such as the last step of an epoch
        };
        let estimate = |index: &usize| {
            let small = self.total(*index, first, |sums| sums.map(|sums| sums.squares))? / (share * share);
            let large = measured.of(&self.tracker.components()[*index])?.squares;
            Some((*index, TwoBatch::estimate(small, *share, large, 1.0)?))
        };
        watched.iter().filter_map(estimate).collect()
    }

    /// Whether this step is checked.
    pub(super) fn is_due(&self, step: u64) -> bool {
        self.tracker.is_due(step)
    }

    /// Whether a statistic must be followed from step to step, whatever is checked.
    fn is_followed(&self) -> bool {
        let statistics = self.tracker.statistics();
        statistics.contains(Statistic::SignalFraction) || statistics.contains(Statistic::GradDeltaL1)
    }

    /// The components whose policies are asked.
    fn watched_components(&self) -> impl Iterator<Item = (usize, &Component)> {
        self.tracker.components().iter().enumerate().filter(|(index, _)| self.tracker.is_active(*index))
    }

    /// The parameters of all components whose policies are asked.
    pub(super) fn watched(&self) -> Vec<ParamId> {
        self.watched_components()
            .flat_map(|(_, component)| &component.parameters)
            .map(|position| ParamId::new(*position))
            .collect()
    }

    /// The parameters of a component.
    pub(super) fn ids_of(&self, component: usize) -> impl Iterator<Item = ParamId> + '_ {
        let parameters =
            self.tracker.components().get(component).map(|component| component.parameters.as_slice());
        parameters.unwrap_or_default().iter().map(|position| ParamId::new(*position))
    }

    /// The sum of a value over a component's parameters; `None` when none has one.
    fn total<T>(&self, component: usize, values: &[T], value: impl Fn(&T) -> Option<f64>) -> Option<f64> {
        let found = self.ids_of(component).filter_map(|id| value(values.get(id.index())?));
        found.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }

    /// What the inner optimizer says of these parameters, as a list by parameter.
    fn by_id(
        &self,
        ids: &[ParamId],
        ask: impl FnOnce(&O, &[ParamId]) -> Result<Vec<Option<f64>>>,
    ) -> Result<Vec<Option<f64>>> {
        let mut list = vec![None; self.parameters.len()];
        for (id, found) in ids.iter().zip(ask(&self.inner, ids)?) {
            list[id.index()] = found;
        }
        Ok(list)
    }

    /// The sums of the gradients of these parameters, as a list by parameter.
    pub(super) fn sums(&self, ids: &[ParamId]) -> Result<Vec<Option<GradientSums>>> {
        let tensors: Vec<&Tensor> = self.tensors(ids).collect();
        let mut sums = vec![None; self.parameters.len()];
        for (id, found) in ids.iter().zip(gradients::sums(&tensors)?) {
            sums[id.index()] = found;
        }
        Ok(sums)
    }

    /// Sums of nothing for the parameters that have a gradient, as a list by parameter.
    fn presences(&self, ids: &[ParamId]) -> Result<Vec<Option<GradientSums>>> {
        let tensors: Vec<&Tensor> = self.tensors(ids).collect();
        let mut sums = vec![None; self.parameters.len()];
        for (id, defined) in ids.iter().zip(gradients::defined(&tensors)?) {
            sums[id.index()] = defined.then_some(GradientSums { absolute: 0.0, squares: 0.0 });
        }
        Ok(sums)
    }

    /// The changes of the gradients since the last step, by parameter; empty when no policy reads them.
    fn deltas(&mut self) -> Result<Vec<Option<f64>>> {
        if !self.tracker.statistics().contains(Statistic::GradDeltaL1) {
            return Ok(Vec::new());
        }
        let gradients = self.handles(&self.watched()).into_iter().map(|(id, tensor)| (id, tensor.grad()));
        let gradients: Vec<_> = gradients.filter(|(_, gradient)| gradient.defined()).collect();
        self.instruments.gradients.deltas(&gradients)
    }

    /// Handles to the tensors of these parameters.
    fn handles(&self, ids: &[ParamId]) -> Vec<(ParamId, Tensor)> {
        ids.iter().copied().zip(self.tensors(ids).map(Tensor::shallow_clone)).collect()
    }
}

impl Measured {
    fn new(sums: Vec<Option<GradientSums>>, deltas: Vec<Option<f64>>) -> Self {
        Self { sums, deltas, norm: None, averaged: Averaged::Scaled(1.0) }
    }

    /// Σg² over a component's parameters as the optimizer saw them.
    fn averaged_squares(&self, component: &Component) -> Option<f64> {
        match &self.averaged {
            Averaged::Scaled(factor) => Some(total(&self.sums, component)?.squares * factor * factor),
            Averaged::Summed(sums) => Some(total(sums, component)?.squares),
        }
    }

    /// The sums over a component's parameters; `None` when none has a gradient.
    fn of(&self, component: &Component) -> Option<GradientSums> {
        total(&self.sums, component)
    }
}

fn total(sums: &[Option<GradientSums>], component: &Component) -> Option<GradientSums> {
    let found = component.parameters.iter().filter_map(|position| sums.get(*position)?.as_ref());
    found.fold(None, |total: Option<GradientSums>, found| {
        let total = total.unwrap_or(GradientSums { absolute: 0.0, squares: 0.0 });
        let absolute = total.absolute + found.absolute;
        Some(GradientSums { absolute, squares: total.squares + found.squares })
    })
}
