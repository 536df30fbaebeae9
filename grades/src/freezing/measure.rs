//! Reading the statistics off the gradients: once per optimizer step, before a clip changes them.

use tch::Tensor;

use super::FreezingOptimizer;
use crate::optim::InnerOptimizer;
use crate::parameters::ParamId;
use crate::torch::gradients::{self, GradientSums};
use crate::{ComponentSample, GradientSnapshot, Result};

/// The sums of the present gradients.
#[derive(Debug)]
pub(super) struct Measured {
    /// One entry per parameter, in the order of ids.
    sums: Vec<Option<GradientSums>>,
    /// The L2 norm over all active parameters, when all of them were summed.
    pub(super) norm: Option<f64>,
}

impl<O: InnerOptimizer> FreezingOptimizer<O> {
    /// The sums for this step: those that a clip took, or new ones when a check is due.
    pub(super) fn measure(&mut self, step: u64) -> Result<Option<Measured>> {
        match self.measured.take() {
            Some(measured) => Ok(Some(measured)),
            None if self.is_due(step) => {
                let tracked = self.tracked();
                self.sum(&tracked).map(Some)
            }
            None => Ok(None),
        }
    }

    /// Whether this step is checked: policies that read nothing cost nothing.
    fn is_due(&self, step: u64) -> bool {
        self.tracker.is_due(step) && !self.tracker.statistics().is_empty()
    }

    /// Sums the gradients of all active parameters, which a clip by norm needs.
    pub(super) fn measure_all(&self) -> Result<Measured> {
        let mut measured = self.sum(&self.active)?;
        let squares: f64 = measured.sums.iter().flatten().map(|sums| sums.squares).sum();
        measured.norm = Some(squares.sqrt());
        Ok(measured)
    }

    /// The statistics of all components, when this step is checked.
    pub(super) fn snapshot(&self, step: u64, measured: Option<&Measured>) -> Option<GradientSnapshot> {
        let measured = measured.filter(|_| self.is_due(step))?;
        let samples = self.tracker.components().iter().enumerate().map(|(index, component)| {
            if self.tracker.is_frozen(index) {
                return None;
            }
            let sums =
                component.parameters.iter().filter_map(|position| measured.sums.get(*position)?.as_ref());
            let (count, l1, squares) = sums.fold((0, 0.0, 0.0), |(count, l1, squares), sums| {
                (count + 1, l1 + sums.absolute, squares + sums.squares)
            });
            (count > 0).then(|| ComponentSample::from_sums(component.elements, l1, squares))
        });
        Some(GradientSnapshot::new(step, samples.collect()))
    }

    /// The parameters of all components that are not frozen.
    fn tracked(&self) -> Vec<ParamId> {
        let components = self.tracker.components().iter().enumerate();
        let active = components.filter(|(index, _)| !self.tracker.is_frozen(*index));
        active
            .flat_map(|(_, component)| &component.parameters)
            .map(|position| ParamId::new(*position))
            .collect()
    }

    fn sum(&self, ids: &[ParamId]) -> Result<Measured> {
        let tensors: Vec<&Tensor> = self.tensors(ids).collect();
        let mut sums = vec![None; self.parameters.len()];
        for (id, found) in ids.iter().zip(gradients::sums(&tensors)?) {
            sums[id.index()] = found;
        }
        Ok(Measured { sums, norm: None })
    }
}
