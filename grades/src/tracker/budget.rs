//! A budget: freezes planned so that a run costs a share of the full one.

use std::fmt;

use super::event::{FreezeEvent, Transition};
use super::track::{Phase, Track};
use crate::component::Component;
use crate::error::{Problems, Result};
use crate::policy::{Cause, Measure, Peers, StepCosts};

/// The freezes that are planned so that a run costs a given share of the full one.
///
/// The blocks freeze from the bottom up: the lowest at six tenths of the last step, the others in even steps after it, for
/// what is below the lowest that trains costs no backward pass. Each component cools over the second half of its training.
/// The plan follows from the configuration, the costs and the length of the run alone, so it is known before the first step.
///
/// ```
/// use grades::component::{Component, ComponentKind};
/// use grades::policy::StepCosts;
/// use grades::tracker::BudgetPlan;
///
/// let layer = |layer| Component::detached("q_proj", ComponentKind::Query, Some(layer), 64);
/// let components = [layer(0), layer(1)];
/// let plan = BudgetPlan::new(0.5, 200, 0, &components, &StepCosts::by_elements(&components))?;
/// assert!((plan.cost() - 0.5).abs() < 0.01);
/// assert_eq!(plan.last_step(), plan.freezes()[1].frozen_at);
/// # Ok::<(), grades::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetPlan {
    cost: f64,
    total_steps: u64,
    freezes: Vec<PlannedFreeze>,
}

/// The planned freeze of one component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedFreeze {
    /// Its block; `None` outside of blocks.
    pub layer: Option<u32>,
    /// The step after which it cools.
    pub cools_from: u64,
    /// The step after which it is frozen.
    pub frozen_at: u64,
}

/// The share of the last freeze's step at which the lowest block freezes; the others follow from the bottom up.
const LOWEST: f64 = 0.6;

/// The share of the steps before a freeze that a component cools.
const COOLING: f64 = 0.5;

impl BudgetPlan {
    /// Plans the freezes of a run of `total_steps` whose learning rate rises over the first `warmup_steps`.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Config`] when even the shortest plan costs more: nothing cools before the rate has risen.
    pub fn new(
        budget: f64,
        total_steps: u64,
        warmup_steps: u64,
        components: &[Component],
        costs: &StepCosts,
    ) -> Result<Self> {
        costs.check(components.len())?;
        let shape = Shape::new(total_steps, components, costs);
        let least = (warmup_steps.max(1) as f64 / (1.0 - COOLING)).ceil() as u64;
        let mut problems = Problems::default();
        if least > total_steps {
            let message = format!(
                "a run of {total_steps} steps is too short for it: {warmup_steps} steps of warm-up and as many that cool are \
                 {least}; train longer, or shorten the warm-up"
            );
            problems.push("budget", message);
            return problems.into_result(Self { cost: 1.0, total_steps, freezes: Vec::new() });
        }
        let cheapest = shape.cost(least, 1.0);
        // A step more or less is no reason to refuse.
        if budget < cheapest - 1.0 / total_steps.max(1) as f64 {
            let message = format!(
                "{budget} cannot be met: the least is {cheapest:.3}, with {least} of {total_steps} steps ({warmup_steps} of \
                 warm-up, and as many that cool); raise the budget, or shorten the warm-up"
            );
            problems.push("budget", message);
        }
        // Nothing cools before the rate has risen: close to the least all blocks freeze together.
        let usual = |last: u64| (least as f64 / last.max(1) as f64).clamp(LOWEST, 1.0);
        let (last, lowest) = match shape.cost(total_steps, usual(total_steps)) {
            all if all >= budget => {
                let last = shape.last_step(budget, least, usual);
                (last, usual(last))
            }
            // The usual places would cost less than the budget allows: the lowest blocks train for longer.
            _ => (total_steps, shape.lowest(budget, usual(total_steps))),
        };
        problems.into_result(shape.plan(last, lowest))
    }

    /// Returns the planned cost, as a share of the full run's.
    pub fn cost(&self) -> f64 {
        self.cost
    }

    /// Returns the step at which everything is frozen, and the run ends.
    pub fn last_step(&self) -> u64 {
        self.freezes.iter().map(|freeze| freeze.frozen_at).max().unwrap_or(self.total_steps)
    }

    /// Returns the planned freeze of each component, in the order of the components.
    pub fn freezes(&self) -> &[PlannedFreeze] {
        &self.freezes
    }

    /// The measure of the cause of a planned cool-down.
    const MEASURE: Measure = Measure::StepsLeft;
}

impl fmt::Display for BudgetPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (last, of) = (self.last_step(), self.total_steps);
        write!(f, "{:.0} % of the full run's cost: ", 100.0 * self.cost)?;
        let lowest = self.freezes.iter().min_by_key(|freeze| freeze.frozen_at);
        match lowest {
            Some(lowest) if lowest.frozen_at < last => write!(
                f,
                "the lowest block cools from step {} and is frozen at step {}, the others follow up to step {last} of {of}",
                lowest.cools_from, lowest.frozen_at
            ),
            Some(all) => {
                write!(
                    f,
                    "all components cool from step {} and are frozen at step {last} of {of}",
                    all.cools_from
                )
            }
            None => write!(f, "{last} of {of} steps"),
        }
    }
}

/// A budget, and the freezes that are planned for it.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    pub(super) share: f64,
    pub(super) warmup_steps: u64,
    pub(super) plan: BudgetPlan,
}

impl Budget {
    /// Plans the freezes of a run; see [`BudgetPlan::new`].
    pub(super) fn new(
        share: f64,
        warmup_steps: u64,
        total_steps: u64,
        components: &[Component],
        costs: &StepCosts,
    ) -> Result<Self> {
        let plan = BudgetPlan::new(share, total_steps, warmup_steps, components, costs)?;
        Ok(Self { share, warmup_steps, plan })
    }

    /// Begins the cool-downs that are planned for this step, with `left` steps left in the run; returns their events.
    pub(super) fn begin(
        &self,
        step: u64,
        left: u64,
        tracks: &mut [Track],
        components: &[Component],
    ) -> Vec<FreezeEvent> {
        let planned = tracks.iter_mut().zip(self.plan.freezes()).zip(components).enumerate();
        let due = planned.filter(|(_, ((track, freeze), _))| track.is_active() && step >= freeze.cools_from);
        due.map(|(index, ((track, freeze), component))| {
            let cause = Cause::new("budget", BudgetPlan::MEASURE, left as f64, left as f64);
            let steps = freeze.frozen_at.saturating_sub(step);
            (track.phase, track.decided) = (Phase::Cooling { from: step, steps, cause: cause.clone() }, step);
            FreezeEvent::new(Transition::Cool, step, index, component, cause)
        })
        .collect()
    }
}

/// The costs of a step by the number of frozen blocks, and the blocks' order.
struct Shape {
    total_steps: u64,
    /// The block of each component; components outside of blocks freeze with the highest.
    blocks: Vec<usize>,
    layers: Vec<Option<u32>>,
    /// The cost of a step with so many of the lowest blocks frozen.
    costs: Vec<f64>,
}

impl Shape {
    fn new(total_steps: u64, components: &[Component], costs: &StepCosts) -> Self {
        let (none, all) = (vec![None; components.len()], vec![true; components.len()]);
        let peers = Peers::new(BudgetPlan::MEASURE, components, &none, &all, costs);
        let inside: Vec<u32> = peers.blocks().iter().filter_map(|block| block.layer).collect();
        let highest = inside.len().saturating_sub(1);
        let block = |component: &Component| {
            component
                .layer
                .and_then(|layer| inside.iter().position(|known| *known == layer))
                .unwrap_or(highest)
        };
        Self {
            total_steps,
            blocks: components.iter().map(block).collect(),
            layers: components.iter().map(|component| component.layer).collect(),
            costs: (0..=highest).map(|frozen| peers.cost_from(frozen)).collect(),
        }
    }

    /// Returns the step at which a block freezes.
    fn frozen_at(&self, block: usize, last: u64, lowest: f64) -> u64 {
        let above = (self.costs.len() - 1).max(1) as f64;
        let share = match block + 1 == self.costs.len() {
            true => 1.0,
            false => lowest + (1.0 - lowest) * block as f64 / above,
        };
        (share * last as f64).round() as u64
    }

    /// Returns the cost of a run whose last block freezes at `last`, as a share of the full run's.
    fn cost(&self, last: u64, lowest: f64) -> f64 {
        let (mut before, mut cost) = (0, 0.0);
        for (block, step) in self.costs.iter().enumerate() {
            let until = self.frozen_at(block, last, lowest);
            cost += (until - before.min(until)) as f64 * step;
            before = until;
        }
        let full = self.costs.first().copied().unwrap_or(0.0) * self.total_steps as f64;
        if full > 0.0 { cost / full } else { last as f64 / self.total_steps.max(1) as f64 }
    }

    /// Finds the last step whose cost is nearest to the budget; `lowest` gives the place of the lowest block's freeze.
    fn last_step(&self, budget: f64, least: u64, lowest: impl Fn(u64) -> f64) -> u64 {
        let (mut low, mut high) = (least, self.total_steps);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.cost(middle, lowest(middle)) <= budget { low = middle } else { high = middle }
        }
        let away = |last: u64| (self.cost(last, lowest(last)) - budget).abs();
        if away(high) < away(low) { high } else { low }
    }

    /// Finds the place of the lowest block's freeze in a run of all steps whose cost is nearest to the budget.
    fn lowest(&self, budget: f64, least: f64) -> f64 {
        let (mut low, mut high) = (least, 1.0);
        for _ in 0..50 {
            let middle = 0.5 * (low + high);
            if self.cost(self.total_steps, middle) <= budget { low = middle } else { high = middle }
        }
        low
    }

    fn plan(&self, last: u64, lowest: f64) -> BudgetPlan {
        let freezes = self.blocks.iter().zip(&self.layers).map(|(block, layer)| {
            let frozen_at = self.frozen_at(*block, last, lowest).max(1);
            let cools_from = ((1.0 - COOLING) * frozen_at as f64).floor() as u64;
            PlannedFreeze { layer: *layer, cools_from: cools_from.max(1).min(frozen_at), frozen_at }
        });
        BudgetPlan {
            cost: self.cost(last, lowest),
            total_steps: self.total_steps,
            freezes: freezes.collect(),
        }
    }
}
