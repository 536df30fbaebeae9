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
    /// Creates a snapshot of the samples of an optimizer step, counted from 1.
    pub fn new(step: u64, samples: Vec<Option<ComponentSample>>) -> Self {
        Self { step, samples, learning_rate: None }
    }

    /// Sets the learning rate of the step.
    #[must_use]
    pub fn with_learning_rate(mut self, learning_rate: Option<f64>) -> Self {
        self.learning_rate = learning_rate;
        self
    }

    /// Returns the learning rate of the step, where it can be read.
    pub fn learning_rate(&self) -> Option<f64> {
        self.learning_rate
    }

    /// Returns the optimizer step, counted from 1.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Returns the samples, one entry per component.
    pub fn samples(&self) -> &[Option<ComponentSample>] {
        &self.samples
    }
}
