//! The statistics of all components after one optimizer step.

use super::ComponentSample;

/// The statistics of all components after one optimizer step, in the order of the components.
///
/// `None` stands for a component that had no gradient: frozen, or not used by this step's loss.
#[derive(Debug, Clone, PartialEq)]
pub struct GradientSnapshot {
    step: u64,
    samples: Vec<Option<ComponentSample>>,
    learning_rate: Option<f64>,
}

impl GradientSnapshot {
    /// A snapshot of the samples taken at an optimizer step, counted from 1.
    pub fn new(step: u64, samples: Vec<Option<ComponentSample>>) -> Self {
        Self { step, samples, learning_rate: None }
    }

    /// The same taken under this learning rate.
    #[must_use]
    pub fn with_learning_rate(mut self, learning_rate: Option<f64>) -> Self {
        self.learning_rate = learning_rate;
        self
    }

    /// The learning rate of the step, where it can be read.
    pub fn learning_rate(&self) -> Option<f64> {
        self.learning_rate
    }

    /// The optimizer step, counted from 1.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// One entry per component.
    pub fn samples(&self) -> &[Option<ComponentSample>] {
        &self.samples
    }
}
