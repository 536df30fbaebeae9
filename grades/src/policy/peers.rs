//! The components of one check, summed up by block, for policies that compare them.

use std::collections::BTreeMap;

use super::{Measure, Score, StepCosts};
use crate::component::Component;

/// The components of one transformer block at a check.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct BlockPeers {
    /// The block; `None` for the components outside of blocks.
    pub layer: Option<u32>,
    /// The number of components that have a score.
    pub scored: usize,
    /// The number of components that train and have no score yet.
    pub waiting: usize,
    /// The number of components that train and have a score of another measure.
    pub others: usize,
    /// The sum of the scores.
    pub score: f64,
    /// The sum of their standard errors: that of the sum of the scores is at most this.
    pub error: f64,
    /// The sum of the squares of their standard errors: without any correlation, the square of that of the sum.
    pub squared_error: f64,
    /// The cost of the forward pass through all components.
    pub forward: f64,
    /// The cost of the gradients of their inputs.
    pub input_gradient: f64,
    /// The cost of the gradients of the weights of those that train.
    pub weight_gradient: f64,
}

impl BlockPeers {
    /// Returns whether a component of it trains.
    pub fn trains(&self) -> bool {
        self.scored + self.waiting + self.others > 0
    }
}

/// All components of one check whose scores are of one measure, summed up by block.
///
/// Each policy sees its own component; what it needs to know of the others is here, in a size that does not grow with
/// their number.
///
/// ```
/// use grades::component::{Component, ComponentKind};
/// use grades::policy::{Measure, Peers, Score, StepCosts};
/// use grades::statistic::Statistic;
///
/// let layer = |layer| Component::detached("q_proj", ComponentKind::Query, Some(layer), 100);
/// let components = [layer(0), layer(1)];
/// let scores = [1.0, 3.0].map(|value| Some(Score::new(Statistic::Progress, value)));
/// let costs = StepCosts::by_elements(&components);
/// let peers = Peers::new(Statistic::Progress, &components, &scores, &[true, true], &costs);
/// assert_eq!(peers.blocks().iter().map(|block| block.score).sum::<f64>(), 4.0);
/// assert_eq!(peers.cost(), 600.0);
/// // Without block 0 its products in the backward pass fall away.
/// assert_eq!(peers.cost_from(1), 400.0);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Peers {
    /// From the bottom up; the components outside of blocks come last.
    blocks: Vec<BlockPeers>,
    rest: f64,
    ends_backward: bool,
    cached_prefix: bool,
}

impl Peers {
    /// Sums up components: their scores, of which those of another measure do not count, and whether each trains. All
    /// lists are in the order of the components.
    pub fn new(
        measure: impl Into<Measure>,
        components: &[Component],
        scores: &[Option<Score>],
        trains: &[bool],
        costs: &StepCosts,
    ) -> Self {
        let measure = measure.into();
        let mut blocks: BTreeMap<(bool, Option<u32>), BlockPeers> = BTreeMap::new();
        let listed = components.iter().zip(scores).zip(trains).zip(costs.components());
        for (((component, score), trains), cost) in listed {
            let layer = component.layer;
            let block = blocks
                .entry((layer.is_none(), layer))
                .or_insert(BlockPeers { layer, ..BlockPeers::default() });
            block.forward += cost.forward;
            block.input_gradient += cost.input_gradient;
            if !trains {
                continue;
            }
            block.weight_gradient += cost.weight_gradient;
            match score.filter(Score::is_finite) {
                None => block.waiting += 1,
                Some(score) if score.measure == measure => {
                    block.scored += 1;
                    block.score += score.value;
                    block.error += score.error;
                    block.squared_error += score.error * score.error;
                }
                Some(_) => block.others += 1,
            }
        }
        Self {
            blocks: blocks.into_values().collect(),
            rest: costs.rest(),
            ends_backward: costs.ends_backward(),
            cached_prefix: costs.has_cached_prefix(),
        }
    }

    /// Returns the blocks from the bottom up; the components outside of blocks come last.
    pub fn blocks(&self) -> &[BlockPeers] {
        &self.blocks
    }

    /// Returns the cost of a step as it is now.
    pub fn cost(&self) -> f64 {
        self.cost_from(0)
    }

    /// Returns the cost of a step if the first `frozen` of the [`blocks`](Self::blocks) were frozen.
    pub fn cost_from(&self, frozen: usize) -> f64 {
        let above = self.blocks.get(frozen..).unwrap_or_default();
        let lowest = frozen + above.iter().position(BlockPeers::trains).unwrap_or(above.len());
        let from = |first: usize| self.blocks.get(first..).unwrap_or_default().iter();
        let forward: f64 = from(if self.cached_prefix { lowest } else { 0 }).map(|block| block.forward).sum();
        let inputs = from(if self.ends_backward { lowest } else { 0 });
        let inputs: f64 = inputs.map(|block| block.input_gradient).sum();
        let weights: f64 = from(frozen).map(|block| block.weight_gradient).sum();
        self.rest + forward + inputs + weights
    }
}
