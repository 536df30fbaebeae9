//! Looking in.

use tch::Tensor;

use super::FreezingOptimizer;
use crate::component::Component;
use crate::error::Error;
use crate::parameters::Parameters;
use crate::tracker::FreezeTracker;

impl<O> FreezingOptimizer<O> {
    /// The inner optimizer.
    pub fn get_ref(&self) -> &O {
        &self.inner
    }

    /// The inner optimizer. What it is told behind the wrapper's back may break the promises of a freeze.
    pub fn get_mut(&mut self) -> &mut O {
        &mut self.inner
    }

    /// The inner optimizer, freezing given up; what is frozen stays without gradients.
    pub fn into_inner(self) -> O {
        self.inner
    }

    /// Whether training should end: the share `stop_at` of the components is frozen.
    pub fn should_stop(&self) -> bool {
        self.tracker.should_stop()
    }

    /// The components, in a fixed order.
    pub fn components(&self) -> &[Component] {
        self.tracker.components()
    }

    /// What is frozen since when, and how the components were found.
    pub fn tracker(&self) -> &FreezeTracker {
        &self.tracker
    }

    /// The trainable parameters that the wrapper was built with, frozen ones included.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The parameters that still train, as handles to the model's own tensors.
    pub fn trainable_variables(&self) -> Vec<Tensor> {
        let active = self.active.iter().filter_map(|id| self.parameters.get(*id));
        active.map(|parameter| parameter.tensor().shallow_clone()).collect()
    }

    /// How many optimizer steps were applied.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The errors of observers that failed and were left out, handed over.
    pub fn take_observer_errors(&mut self) -> Vec<Error> {
        std::mem::take(&mut self.observer_errors)
    }
}
