//! Observations: the input of a policy.

use super::{ComponentCost, Peers};
use crate::component::Component;
use crate::statistic::{ComponentSample, Statistic};

/// Everything that a policy may base its decision on.
///
/// ```
/// use grades::component::{Component, ComponentKind};
/// use grades::policy::Observation;
/// use grades::statistic::{ComponentSample, Statistic};
///
/// let component = Component::detached("layers.0.wq", ComponentKind::Query, Some(0), 4);
/// let sample = ComponentSample::from_gradient(&[0.5, -0.5, 0.0, 1.0]);
/// let observation = Observation::new(&component, &sample).at(10, 100);
/// assert_eq!(observation.value(Statistic::GradL1), Some(2.0));
/// assert_eq!(observation.progress(), 0.1);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    component: &'a Component,
    sample: &'a ComponentSample,
    step: u64,
    total_steps: u64,
    grace_over: bool,
    learning_rate: Option<f64>,
    rank: Option<usize>,
    peers: Option<&'a Peers>,
    cost: Option<ComponentCost>,
    population: Population<'a>,
}

impl<'a> Observation<'a> {
    /// Creates an observation of a component and its sample, at step 1 of 1, after the grace period, alone in its
    /// population.
    pub fn new(component: &'a Component, sample: &'a ComponentSample) -> Self {
        Self {
            component,
            sample,
            step: 1,
            total_steps: 1,
            grace_over: true,
            learning_rate: None,
            rank: None,
            peers: None,
            cost: None,
            population: Population::default(),
        }
    }

    /// Sets the step.
    #[must_use]
    pub fn at(mut self, step: u64, total_steps: u64) -> Self {
        (self.step, self.total_steps) = (step, total_steps);
        self
    }

    /// Sets whether the grace period is over.
    #[must_use]
    pub fn after_grace(mut self, over: bool) -> Self {
        self.grace_over = over;
        self
    }

    /// Sets the learning rate.
    #[must_use]
    pub fn with_learning_rate(mut self, learning_rate: Option<f64>) -> Self {
        self.learning_rate = learning_rate;
        self
    }

    /// Sets the rank among the scores of the active components.
    #[must_use]
    pub fn ranked(mut self, rank: Option<usize>) -> Self {
        self.rank = rank;
        self
    }

    /// Sets the sums over the components with scores of the same measure.
    #[must_use]
    pub fn with_peers(mut self, peers: Option<&'a Peers>) -> Self {
        self.peers = peers;
        self
    }

    /// Sets the cost of the component.
    #[must_use]
    pub fn with_cost(mut self, cost: ComponentCost) -> Self {
        self.cost = Some(cost);
        self
    }

    /// Sets the population.
    #[must_use]
    pub fn among(mut self, population: Population<'a>) -> Self {
        self.population = population;
        self
    }

    /// Returns the component that is asked about.
    pub fn component(&self) -> &'a Component {
        self.component
    }

    /// Returns the value of a statistic of the component; `None` when it was not measured.
    pub fn value(&self, statistic: Statistic) -> Option<f64> {
        self.sample.get(statistic)
    }

    /// Returns the optimizer step that the sample is of, counted from 1.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Returns the optimizer steps that the run was planned for.
    pub fn total_steps(&self) -> u64 {
        self.total_steps
    }

    /// Returns the share of the planned steps that are done, from 0 to 1.
    pub fn progress(&self) -> f64 {
        (self.step as f64 / self.total_steps.max(1) as f64).min(1.0)
    }

    /// Returns whether the grace period is over, so that a freeze is acted on.
    pub fn grace_over(&self) -> bool {
        self.grace_over
    }

    /// Returns the optimizer's learning rate, where it can be read.
    pub fn learning_rate(&self) -> Option<f64> {
        self.learning_rate
    }

    /// Returns how many active components have a lower [`score`](crate::policy::FreezePolicy::score) at this check;
    /// equal scores are ordered by position. `None` before the scores are known, and for a component without one.
    pub fn rank(&self) -> Option<usize> {
        self.rank
    }

    /// Returns the components whose scores have the measure of this one's [`score`](crate::policy::FreezePolicy::score), summed up by
    /// block. `None` before the scores are known, and for a component without one.
    pub fn peers(&self) -> Option<&'a Peers> {
        self.peers
    }

    /// Returns the cost of the component in a training step; by its number of elements unless costs were handed in.
    pub fn cost(&self) -> ComponentCost {
        self.cost.unwrap_or_else(|| ComponentCost::of_elements(self.component.elements))
    }

    /// Returns the other components at the same check.
    pub fn population(&self) -> Population<'a> {
        self.population
    }
}

/// The input of a decision about a frozen component, which has no gradient and so no statistics.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct FrozenObservation<'a> {
    /// The component that is asked about.
    pub component: &'a Component,
    /// The optimizer step, counted from 1.
    pub step: u64,
    /// The optimizer steps that the run was planned for.
    pub total_steps: u64,
    /// The step at which it froze.
    pub frozen_at: u64,
    /// The optimizer's learning rate, where it can be read.
    pub learning_rate: Option<f64>,
}

impl<'a> FrozenObservation<'a> {
    /// Creates an observation of a component that froze at a step, seen at a later one.
    pub fn new(component: &'a Component, frozen_at: u64, step: u64, total_steps: u64) -> Self {
        Self { component, step, total_steps, frozen_at, learning_rate: None }
    }

    /// Sets the learning rate.
    #[must_use]
    pub fn with_learning_rate(mut self, learning_rate: Option<f64>) -> Self {
        self.learning_rate = learning_rate;
        self
    }
}

/// All components at one check.
#[derive(Debug, Clone, Copy, Default)]
pub struct Population<'a> {
    samples: &'a [Option<ComponentSample>],
    decided: usize,
}

impl<'a> Population<'a> {
    /// Creates a population of the samples of all components, `None` for one without a gradient, and how many are
    /// decided: frozen or cooling.
    pub fn new(samples: &'a [Option<ComponentSample>], decided: usize) -> Self {
        Self { samples, decided }
    }

    /// Returns the number of components, decided ones included.
    pub fn total(&self) -> usize {
        self.samples.len()
    }

    /// Returns the number of components that are decided: frozen or cooling.
    pub fn decided(&self) -> usize {
        self.decided
    }

    /// Returns the finite values of a statistic over the components that were measured.
    pub fn values(&self, statistic: Statistic) -> impl Iterator<Item = f64> + 'a {
        let samples = self.samples.iter().flatten();
        samples.filter_map(move |sample| sample.get(statistic)).filter(|value| value.is_finite())
    }
}
