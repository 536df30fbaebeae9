//! The freeze tracker: asks each active component's policy, and records which components cool and which are frozen.
//!
//! It works on numbers only, without tensors.

mod budget;
mod event;
mod peers;
mod ranks;
mod report;
mod schedule;
mod state;
mod track;

pub use budget::{BudgetPlan, PlannedFreeze};
pub use event::{FreezeEvent, Transition};
pub use report::{Check, Checked, StepReport};
pub use state::TrackerState;

use crate::component::{Component, ComponentMap};
use crate::config::{Cooling, FreezingConfig};
use crate::error::Result;
use crate::policy::{Decision, FrozenObservation, Observation, Population, Score, StepCosts};
use crate::statistic::{GradientSnapshot, StatisticSet};
use budget::Budget;
use schedule::Schedule;
use track::{Phase, Track};

/// Asks each active component's policy at each check, and records which components cool and which are frozen.
///
/// A component is active, then perhaps cools, then is frozen; a policy that thaws makes it active again. The tracker
/// needs no libtorch:
///
/// ```
/// use grades::FreezingConfig;
/// use grades::component::{ComponentConfig, ComponentMap, ParameterInfo};
/// use grades::policy::Threshold;
/// use grades::statistic::{ComponentSample, GradientSnapshot, Statistic};
/// use grades::tracker::FreezeTracker;
///
/// let query = ParameterInfo::new("model.layers.0.self_attn.q_proj.weight", [2, 1]);
/// let map = ComponentMap::new(&[query], &ComponentConfig::default())?;
/// let config = FreezingConfig::new(Threshold::new(Statistic::GradL1, 1.0));
/// let mut tracker = FreezeTracker::new(map, &config, 100)?;
/// for step in 1..=2 {
///     let sample = ComponentSample::from_gradient(&[0.1, 0.2]);
///     tracker.check(&GradientSnapshot::new(step, vec![Some(sample)]));
/// }
/// assert!(tracker.should_stop()); // a first sample never counts, the second did
/// # Ok::<(), grades::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FreezeTracker {
    map: ComponentMap,
    schedule: Schedule,
    tracks: Vec<Track>,
    statistics: StatisticSet,
    thaws: bool,
    frozen: usize,
    cooling: usize,
    records_comparisons: bool,
    costs: StepCosts,
    budget: Option<Budget>,
}

impl FreezeTracker {
    /// Creates a tracker of these components for a run of `total_steps` optimizer steps.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Config`] when the configuration does not fit the run.
    pub fn new(map: ComponentMap, config: &FreezingConfig, total_steps: u64) -> Result<Self> {
        let schedule = Schedule::new(config, total_steps)?;
        let prototype = config.prototype(total_steps)?;
        let (statistics, thaws) = (prototype.statistics(), prototype.thaws());
        let tracks = vec![Track::new(prototype); map.components().len()];
        let costs = StepCosts::by_elements(map.components());
        let plan = |share| Budget::new(share, config.warmup_steps(), total_steps, map.components(), &costs);
        let budget = config.budget().map(plan).transpose()?;
        Ok(Self {
            map,
            schedule,
            tracks,
            statistics,
            thaws,
            frozen: 0,
            cooling: 0,
            records_comparisons: false,
            costs,
            budget,
        })
    }

    /// Sets the costs of a step, for policies that weigh them; by default every component costs its elements.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Config`] unless there is a cost of at least 0 for each component, and for a budget that cannot be met.
    pub fn with_costs(mut self, costs: StepCosts) -> Result<Self> {
        costs.check(self.total())?;
        if let Some(Budget { share, warmup_steps, .. }) = self.budget {
            let (steps, components) = (self.schedule.total_steps, self.map.components());
            self.budget = Some(Budget::new(share, warmup_steps, steps, components, &costs)?);
        }
        self.costs = costs;
        Ok(self)
    }

    /// Sets whether checks record the comparison that each policy made, for observers; off by default.
    pub fn record_comparisons(&mut self, record: bool) {
        self.records_comparisons = record;
    }

    /// Returns whether the statistics of this optimizer step (counted from 1) are checked.
    pub fn is_due(&self, step: u64) -> bool {
        // A budget needs no statistics.
        self.budget.is_none() && step.is_multiple_of(self.schedule.check_every) && !self.all_frozen()
    }

    /// Asks the policies of all active components, and of frozen ones where the policy thaws.
    ///
    /// Samples that are not finite are skipped: the policy is not asked, and the component is reported. During
    /// the grace period the policies are asked, but nothing freezes. No component freezes at its first sample.
    pub fn check(&mut self, snapshot: &GradientSnapshot) -> Check {
        let mut check = Check::default();
        // All components may have cooled down: an end that no policy undoes. A budget has planned everything.
        if self.all_frozen() || self.budget.is_some() {
            return check;
        }
        let step = snapshot.step();
        let grace_over = step > self.schedule.grace_steps;
        let population = Population::new(snapshot.samples(), self.frozen + self.cooling);
        let observe = |component, sample| {
            Observation::new(component, sample)
                .at(step, self.schedule.total_steps)
                .after_grace(grace_over)
                .with_learning_rate(snapshot.learning_rate())
                .among(population)
        };
        let components = self.map.components();
        if self.records_comparisons {
            check.compared.resize(components.len(), None);
        }
        let costs = &self.costs;
        let listed = self.tracks.iter_mut().zip(components).zip(costs.components()).zip(snapshot.samples());
        let scores: Vec<Option<Score>> = listed
            .map(|(((track, component), cost), sample)| {
                let sample = sample.as_ref().filter(|sample| track.is_active() && sample.is_finite())?;
                track.policy.score(&observe(component, sample).with_cost(*cost))
            })
            .collect();
        let ranks = ranks::ranks(scores.iter().map(|score| score.map(|score| score.value)));
        let peers = peers::by_measure(&scores, &self.tracks, components, snapshot.samples(), costs);
        let mut longest = 0;
        for (index, track) in self.tracks.iter_mut().enumerate() {
            let (component, sample) =
                (&components[index], snapshot.samples().get(index).and_then(Option::as_ref));
            let event = |kind, cause| FreezeEvent::new(kind, step, index, component, cause);
            match (&track.phase, sample) {
                (Phase::Active, Some(sample)) if !sample.is_finite() => check.non_finite.push(index),
                (Phase::Active, Some(sample)) => {
                    track.samples += 1;
                    let measure = scores[index].map(|score| score.measure);
                    let peers = peers.iter().find(|(of, _)| Some(*of) == measure).map(|(_, peers)| peers);
                    let observation = observe(component, sample)
                        .ranked(ranks[index])
                        .with_peers(peers)
                        .with_cost(self.costs.components()[index]);
                    let decision = track.policy.decide(&observation);
                    if let Some(compared) = check.compared.get_mut(index) {
                        *compared = match &decision {
                            Decision::Freeze(cause) => Some(cause.clone()),
                            _ => track.policy.compares(&observation),
                        };
                    }
                    let cause = match decision {
                        Decision::Freeze(cause) if grace_over && track.samples > 1 => cause,
                        _ => match self.schedule.deadline(step, track.since).filter(|_| grace_over) {
                            Some(cause) => cause,
                            None => continue,
                        },
                    };
                    let steps = self.schedule.cooling_steps(step, track.since);
                    if steps == 0 {
                        (track.phase, track.decided) = (Phase::Frozen { at: step }, step);
                        self.frozen += 1;
                        check.events.push(event(Transition::Freeze, cause));
                    } else {
                        (track.phase, track.decided) =
                            (Phase::Cooling { from: step, steps, cause: cause.clone() }, step);
                        longest = longest.max(steps);
                        self.cooling += 1;
                        check.events.push(event(Transition::Cool, cause));
                    }
                }
                // Not at the step at which it froze, and not when it could not cool down again.
                (Phase::Frozen { at }, _)
                    if track.policy.thaws() && *at < step && self.schedule.deadline(step, step).is_none() =>
                {
                    let frozen = FrozenObservation::new(component, *at, step, self.schedule.total_steps)
                        .with_learning_rate(snapshot.learning_rate());
                    if let Decision::Thaw(cause) = track.policy.decide_frozen(&frozen) {
                        (track.phase, track.samples, track.since) = (Phase::Active, 0, step);
                        self.frozen -= 1;
                        check.events.push(event(Transition::Thaw, cause));
                    }
                }
                (Phase::Active | Phase::Cooling { .. } | Phase::Frozen { .. }, _) => {}
            }
        }
        self.extend_averaging(longest);
        check
    }

    /// Extends the cool-downs by averaging to the longest that has just begun: while one component moves, the optimum of
    /// each other one moves too.
    fn extend_averaging(&mut self, longest: u64) {
        if longest == 0 || !self.averages() {
            return;
        }
        for track in &mut self.tracks {
            if let Phase::Cooling { from, steps, .. } = &mut track.phase {
                *steps = longest.min(self.schedule.total_steps.saturating_sub(*from)).max(*steps);
            }
        }
    }

    /// Freezes the components that have cooled down with the update of this optimizer step, and begins the cool-downs that a
    /// budget has planned for it.
    ///
    /// To be called after every step, checked or not.
    pub fn finish_cooling(&mut self, step: u64) -> Vec<FreezeEvent> {
        let left = self.schedule.total_steps.saturating_sub(step);
        let planned = |budget: &Budget| budget.begin(step, left, &mut self.tracks, self.map.components());
        let mut events = self.budget.as_ref().map(planned).unwrap_or_default();
        self.cooling += events.len();
        for (index, track) in self.tracks.iter_mut().enumerate() {
            if let Phase::Cooling { from, steps, cause } = &track.phase
                && step >= from + steps
            {
                let cause = cause.clone();
                track.phase = Phase::Frozen { at: step };
                self.cooling -= 1;
                self.frozen += 1;
                events.push(FreezeEvent::new(
                    Transition::Freeze,
                    step,
                    index,
                    &self.map.components()[index],
                    cause,
                ));
            }
        }
        events
    }

    /// Returns the freezes that are planned for a budget; `None` without one.
    pub fn budget_plan(&self) -> Option<&BudgetPlan> {
        self.budget.as_ref().map(|budget| &budget.plan)
    }

    /// Returns the first step at which the policy can decide when the learning rate no longer rises after `warmup_steps`, and
    /// the step at which all components must cool in time, whatever it says.
    pub fn first_decision(&self, warmup_steps: u64) -> (u64, u64) {
        let checks = self.tracks.first().map_or(0, |track| track.policy.least_checks());
        let steps = warmup_steps.saturating_add(checks.saturating_mul(self.schedule.check_every));
        (steps.max(self.schedule.grace_steps + 1), self.schedule.first_deadline())
    }

    /// Returns the learning-rate factor of the component at this position, for the update of this optimizer step:
    /// 1 while it is active, falling in a straight line while it cools (unless it cools by averaging), 0 when it is frozen.
    ///
    /// It has one of 16 values, so that one call of a fused kernel still updates many components.
    pub fn learning_rate_factor(&self, component: usize, step: u64) -> f64 {
        self.tracks.get(component).map_or(1.0, |track| self.factor(track, step))
    }

    fn factor(&self, track: &Track, step: u64) -> f64 {
        match track.phase {
            Phase::Cooling { .. } if self.averages() => 1.0,
            _ => track.factor(step),
        }
    }

    /// Returns the mean factor of the components of one transformer block, or of all: the factor of parameters that
    /// belong to no component.
    pub fn mean_factor(&self, layer: Option<u32>, step: u64) -> f64 {
        track::quantised(self.mean(layer, |track| self.factor(track, step)))
    }

    /// Returns the steps since the freeze of the component at this position was decided, 0 while it is active: the weight
    /// of its values after this step in a mean.
    pub fn steps_since_decision(&self, component: usize, step: u64) -> u64 {
        self.tracks.get(component).map_or(0, |track| track.steps_since_decision(step))
    }

    /// Returns the mean of [`steps_since_decision`](Self::steps_since_decision) over the components of one transformer
    /// block, or over all: the weight of parameters that belong to no component.
    pub fn mean_steps_since_decision(&self, layer: Option<u32>, step: u64) -> f64 {
        self.mean(layer, |track| track.steps_since_decision(step) as f64)
    }

    /// Returns a mean over the components of one transformer block, or over all where it has none.
    fn mean(&self, layer: Option<u32>, of: impl Fn(&Track) -> f64) -> f64 {
        let listed = || self.components().iter().zip(&self.tracks);
        let inside = listed().any(|(component, _)| component.layer == layer);
        let counted =
            listed().filter(|(component, _)| layer.is_none() || !inside || component.layer == layer);
        let (count, sum) = counted.fold((0u32, 0.0), |(count, sum), (_, track)| (count + 1, sum + of(track)));
        sum / f64::from(count.max(1))
    }

    /// Returns the components, in the order of snapshots.
    pub fn components(&self) -> &[Component] {
        self.map.components()
    }

    /// Returns the map by which the components were found, with the parameters that it left out.
    pub fn map(&self) -> &ComponentMap {
        &self.map
    }

    /// Returns the statistics that the policies read.
    pub fn statistics(&self) -> StatisticSet {
        self.statistics
    }

    /// Returns whether a policy may thaw a frozen component.
    pub fn thaws(&self) -> bool {
        self.thaws
    }

    /// Returns whether components cool before they freeze.
    pub fn cools(&self) -> bool {
        !self.schedule.cooldown.is_off()
    }

    /// Returns whether components cool by averaging their weights.
    pub fn averages(&self) -> bool {
        self.cools() && self.schedule.cooling == Cooling::Average
    }

    /// Returns whether the component at this position cools.
    pub fn is_cooling(&self, component: usize) -> bool {
        self.tracks.get(component).is_some_and(|track| matches!(track.phase, Phase::Cooling { .. }))
    }

    /// Returns whether the component at this position is active: neither cooling nor frozen.
    pub fn is_active(&self, component: usize) -> bool {
        self.tracks.get(component).is_some_and(Track::is_active)
    }

    /// Returns whether the component at this position is frozen.
    pub fn is_frozen(&self, component: usize) -> bool {
        self.frozen_at(component).is_some()
    }

    /// Returns the optimizer step at which the component at this position froze.
    pub fn frozen_at(&self, component: usize) -> Option<u64> {
        match self.tracks.get(component)?.phase {
            Phase::Frozen { at } => Some(at),
            Phase::Active | Phase::Cooling { .. } => None,
        }
    }

    /// Returns the number of frozen components.
    pub fn frozen(&self) -> usize {
        self.frozen
    }

    /// Returns the number of components that cool.
    pub fn cooling(&self) -> usize {
        self.cooling
    }

    /// Returns the number of components.
    pub fn total(&self) -> usize {
        self.tracks.len()
    }

    /// Returns whether all components are frozen.
    pub fn all_frozen(&self) -> bool {
        self.frozen == self.tracks.len()
    }

    /// Returns whether the share of frozen components has reached `stop_at`.
    pub fn should_stop(&self) -> bool {
        // 0.55 × 100 is a little above 55 in binary; a share above 0 means one component at least.
        self.frozen as f64 >= (self.schedule.stop_at * self.tracks.len() as f64 - 1e-9).max(1.0)
    }

    /// Returns the number of optimizer steps that the run is planned for.
    pub fn total_steps(&self) -> u64 {
        self.schedule.total_steps
    }

    /// Returns the last optimizer step of the grace period; 0 when there is none.
    pub fn grace_steps(&self) -> u64 {
        self.schedule.grace_steps
    }
}
