//! The cost of a training step, by component.

use crate::component::Component;
use crate::error::{Problems, Result};

/// The cost of one component in a training step, in a unit that is the same for all, such as FLOPs.
///
/// For a weight matrix each of the three is one matrix product.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ComponentCost {
    /// The forward pass.
    pub forward: f64,
    /// The gradient of its input, which is needed as long as anything below it trains.
    pub input_gradient: f64,
    /// The gradient of its weights, which is needed as long as it trains.
    pub weight_gradient: f64,
}

impl ComponentCost {
    /// Creates the cost of a weight matrix by its number of elements.
    pub fn of_elements(elements: u64) -> Self {
        let product = elements as f64;
        Self { forward: product, input_gradient: product, weight_gradient: product }
    }

    fn is_valid(&self) -> bool {
        [self.forward, self.input_gradient, self.weight_gradient].into_iter().all(is_cost)
    }
}

/// The cost of a training step: of each component, and of all else.
///
/// Nothing here knows a model: whoever builds the optimizer hands the numbers in
/// ([`FreezeTracker::with_costs`](crate::tracker::FreezeTracker::with_costs)). Without them every component costs its
/// number of elements three times, which is right for matrices that all tokens go through.
///
/// ```
/// use grades::component::{Component, ComponentKind};
/// use grades::policy::{ComponentCost, StepCosts};
///
/// let layer = |layer| Component::detached("q_proj", ComponentKind::Query, Some(layer), 64);
/// let costs = StepCosts::by_elements(&[layer(0), layer(1)]);
/// assert_eq!(costs.components()[1].weight_gradient, 64.0);
///
/// // With an adapter of 8 elements the frozen matrix is still multiplied twice.
/// let adapted = ComponentCost { forward: 72.0, input_gradient: 72.0, weight_gradient: 8.0 };
/// let costs = StepCosts::new(vec![adapted; 2], 100.0).with_cached_prefix(true);
/// # let _ = costs;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct StepCosts {
    components: Vec<ComponentCost>,
    rest: f64,
    ends_backward: bool,
    cached_prefix: bool,
}

impl StepCosts {
    /// Creates the costs of the components, in their order, and of all else, which does not change when they freeze.
    pub fn new(components: Vec<ComponentCost>, rest: f64) -> Self {
        Self { components, rest, ends_backward: true, cached_prefix: false }
    }

    /// Creates costs by the components' numbers of elements, and none for all else.
    pub fn by_elements(components: &[Component]) -> Self {
        let cost = |component: &Component| ComponentCost::of_elements(component.elements);
        Self::new(components.iter().map(cost).collect(), 0.0)
    }

    /// Sets whether the backward pass ends at the lowest block that trains, as it does unless something below all blocks
    /// goes on training; true by default.
    #[must_use]
    pub fn with_ending_backward(mut self, ends: bool) -> Self {
        self.ends_backward = ends;
        self
    }

    /// Sets whether the forward pass begins at the lowest block that trains, as it does where the output of frozen blocks
    /// is cached; false by default.
    #[must_use]
    pub fn with_cached_prefix(mut self, cached: bool) -> Self {
        self.cached_prefix = cached;
        self
    }

    /// Returns the costs of the components, in their order.
    pub fn components(&self) -> &[ComponentCost] {
        &self.components
    }

    /// Returns the cost of all that is no component.
    pub fn rest(&self) -> f64 {
        self.rest
    }

    pub(super) fn ends_backward(&self) -> bool {
        self.ends_backward
    }

    pub(super) fn has_cached_prefix(&self) -> bool {
        self.cached_prefix
    }

    /// Checks that there is a cost for each of `components` components, and that all are numbers of at least 0.
    pub(crate) fn check(&self, components: usize) -> Result<()> {
        let mut problems = Problems::default();
        let found = self.components.len();
        if found != components {
            problems
                .push("costs", format!("expected one of each of the {components} components, found {found}"));
        }
        for (index, cost) in self.components.iter().enumerate().filter(|(_, cost)| !cost.is_valid()) {
            problems.push(
                "costs",
                format!("expected finite numbers of at least 0, found {cost:?} for component {index}"),
            );
        }
        if !is_cost(self.rest) {
            problems.push("costs", format!("expected a finite rest of at least 0, found {}", self.rest));
        }
        problems.into_result(())
    }
}

fn is_cost(cost: f64) -> bool {
    cost.is_finite() && cost >= 0.0
}
