//! Measures gradients, weights and moments along with the update, and turns the numbers into statistics.

mod copies;
mod deferred;
mod measurement;
mod micro_batches;
mod snapshot;

use tch::Tensor;

use super::over_ranks::OverRanks;
use super::params::{ParamSet, ids_of, ids_of_all};
use crate::component::Component;
use crate::error::Result;
use crate::optim::{GradStats, Hyperparameter, InnerOptimizer, StatsRequest, StepRequest};
use crate::parameters::{ParamId, Parameters};
use crate::statistic::{GradientSnapshot, MomentFilter, Statistic, StatisticSet};
use crate::torch::gradients;
use crate::tracker::{Checked, FreezeTracker};
use copies::Copies;
pub(super) use deferred::{Deferred, Outcome};
pub(super) use measurement::{Measurement, Scale};
use measurement::{PreClip, PreClipProgress, clip_factor};
use micro_batches::MicroBatches;

/// The measurements of a run, and the state that they need between steps.
#[derive(Debug)]
pub(super) struct Monitor {
    /// The statistics that the policies read.
    statistics: StatisticSet,
    /// For the signal fraction: one per component.
    filters: Vec<MomentFilter>,
    /// For `grad-delta-l1`: the gradients of the step before.
    gradients: Copies,
    /// For `weight-delta-l1`: the weights at the check before.
    weights: Copies,
    /// For the two-batch statistics.
    micro: MicroBatches,
    /// The sums of the present gradients before a clip changed them.
    pre_clip: Option<PreClip>,
    /// Whether measurements are read at the next step.
    defers: bool,
    deferred: Deferred,
}

/// The measurements to make along with one update.
#[derive(Debug)]
pub(super) struct Plan {
    step: u64,
    /// Whether the policies are asked at this step.
    due: bool,
    /// The positions of the components to measure.
    components: Vec<usize>,
    /// The parameters of those components.
    measured: Vec<ParamId>,
    stats: StatsRequest,
    pre_clip: Option<PreClip>,
    deltas: Vec<Option<f64>>,
    /// Whether there is anything to measure.
    measures: bool,
}

/// The saved state of a [`Monitor`].
#[derive(Debug)]
pub(super) struct MonitorState {
    pub(super) filters: Vec<MomentFilter>,
    pub(super) gradients: Vec<(ParamId, Tensor)>,
    pub(super) weights: Vec<(ParamId, Tensor)>,
    pub(super) micro_batches_seen: bool,
}

impl Plan {
    /// Returns the request to the inner optimizer.
    pub(super) fn request<'a>(&'a self, params: &'a ParamSet, scale: &'a Scale) -> StepRequest<'a> {
        StepRequest {
            parameters: params.all(),
            active: params.active(),
            measured: &self.measured,
            stats: self.stats,
            scale: scale.for_update(),
        }
    }
}

impl Monitor {
    pub(super) fn new(tracker: &FreezeTracker, parameters: usize, defers: bool) -> Self {
        let statistics = tracker.statistics();
        let size = |statistic, size| if statistics.contains(statistic) { size } else { 0 };
        Self {
            statistics,
            filters: vec![MomentFilter::default(); size(Statistic::SignalFraction, tracker.total())],
            gradients: Copies::new(size(Statistic::GradDeltaL1, parameters)),
            weights: Copies::new(size(Statistic::WeightDeltaL1, parameters)),
            micro: MicroBatches::default(),
            pre_clip: None,
            defers,
            deferred: Deferred::Nothing,
        }
    }

    /// Sets whether measurements are read at the next step.
    pub(super) fn set_deferred(&mut self, defers: bool) {
        self.defers = defers;
    }

    /// Plans the measurements of the update of this step.
    pub(super) fn plan(
        &mut self,
        step: u64,
        tracker: &FreezeTracker,
        params: &ParamSet,
        inner: &impl InnerOptimizer,
    ) -> Result<Plan> {
        let pre_clip = self.pre_clip.take();
        let due = tracker.is_due(step);
        let measures = due || self.follows_every_step();
        let components = if measures { watched(tracker) } else { Vec::new() };
        let measured = ids_of_all(tracker.components(), &components);
        let deltas = match measures && pre_clip.is_none() {
            true => self.gradient_deltas(&measured, params)?,
            false => Vec::new(),
        };
        let stats = self.stats_request(due, &measured, pre_clip.as_ref(), params.all(), inner);
        let measures = measures || pre_clip.is_some();
        Ok(Plan { step, due, components, measured, stats, pre_clip, deltas, measures })
    }

    /// Completes the measurements of an update from its sums; `None` when there was nothing to measure.
    pub(super) fn collect(
        &mut self,
        plan: Plan,
        mut sums: GradStats,
        scale: &Scale,
        params: &ParamSet,
        inner: &impl InnerOptimizer,
    ) -> Result<Option<Measurement>> {
        if !plan.measures {
            return Ok(None);
        }
        sums.send()?;
        let Plan { step, due, components, measured, mut pre_clip, mut deltas, .. } = plan;
        if let Some(pre_clip) = &mut pre_clip {
            for sums in pre_clip.all_sums() {
                sums.send()?;
            }
            deltas = std::mem::take(&mut pre_clip.deltas);
        }
        let mut weight_deltas = Vec::new();
        if due && self.reads(Statistic::WeightDeltaL1) {
            weight_deltas = self.weights.deltas(&params.handles(&measured))?;
        }
        let micro = if due && self.compares_batches() { self.micro.take_small() } else { None };
        let learning_rate = inner.get(0, Hyperparameter::LearningRate);
        let scale = scale.applied();
        Ok(Some(Measurement {
            step,
            learning_rate,
            due,
            components,
            sums,
            pre_clip,
            scale,
            deltas,
            weight_deltas,
            micro,
        }))
    }

    /// Returns a measurement to check now, or stores it until the next step where statistics are deferred.
    pub(super) fn defer(&mut self, measurement: Option<Measurement>) -> Option<Measurement> {
        match measurement {
            Some(measurement) if self.defers => {
                self.deferred = Deferred::Measured(measurement);
                None
            }
            measurement => measurement,
        }
    }

    /// Returns the measurement of the last step, where it is read one step late.
    pub(super) fn deferred(&mut self) -> &mut Deferred {
        &mut self.deferred
    }

    /// Returns the norm of a measurement that was read, and the statistics of all components if the policies are to be asked.
    pub(super) fn evaluate(
        &mut self,
        measurement: Measurement,
        components: &[Component],
    ) -> (Checked, Option<GradientSnapshot>) {
        self.follow_moments(&measurement, components);
        let mut checked = Checked::new(measurement.step);
        checked.grad_norm = measurement.norm();
        let snapshot = measurement.due.then(|| snapshot::snapshot(self, &measurement, components));
        (checked, snapshot)
    }

    /// Scales the gradients so that their common L2 norm is at most `max`, and returns the norm before.
    pub(super) fn clip_norm(
        &mut self,
        max: f64,
        step: u64,
        tracker: &FreezeTracker,
        params: &ParamSet,
        ranks: Option<&OverRanks>,
    ) -> Result<f64> {
        let norm = match &self.pre_clip {
            None => {
                let pre_clip = self.before_clip(true, step, tracker, params)?;
                read(&mut pre_clip.sums, params, ranks)?;
                pre_clip.sums.norm()
            }
            // Those sums were taken before another clip changed the gradients.
            Some(_) => {
                let mut now = GradStats::new(params.all().len());
                now.add_gradients(params.all(), params.active(), true)?;
                read(&mut now, params, ranks)?;
                now.norm()
            }
        };
        let factor = clip_factor(norm, max);
        if factor < 1.0 {
            gradients::scale(&params.active_tensors(), factor)?;
            self.before_clip(true, step, tracker, params)?.factor *= factor;
        }
        Ok(norm)
    }

    /// Clamps every gradient value to `-max ..= max`.
    pub(super) fn clip_value(
        &mut self,
        max: f64,
        step: u64,
        tracker: &FreezeTracker,
        params: &ParamSet,
        inner: &mut impl InnerOptimizer,
    ) -> Result<()> {
        let reads_progress = self.reads(Statistic::Progress) && tracker.is_due(step);
        let pre_clip = self.before_clip(false, step, tracker, params)?;
        pre_clip.clamped = true;
        if reads_progress && pre_clip.progress.is_none() {
            let mut sums = GradStats::new(params.all().len());
            inner.measure_progress(&ids_of_all(tracker.components(), &watched(tracker)), &mut sums)?;
            pre_clip.progress = Some(PreClipProgress { sums, factor: pre_clip.factor });
        }
        gradients::clamp(&params.active_tensors(), max)
    }

    /// Returns the factor by which the next update brings the gradients' common L2 norm down to `max`.
    ///
    /// One pass over the gradients gives the norm and the sums that the statistics need; the factor goes into the
    /// update. On a single CUDA device it is computed there, and nothing waits for it.
    pub(super) fn scale_to_norm(
        &mut self,
        max: f64,
        step: u64,
        tracker: &FreezeTracker,
        params: &ParamSet,
        ranks: Option<&OverRanks>,
    ) -> Result<Scale> {
        // A device knows the gradients of its own rank only.
        let defers = self.defers && ranks.is_none_or(|ranks| ranks.owners().is_none());
        let pre_clip = self.before_clip(true, step, tracker, params)?;
        if defers && let Some(divisor) = pre_clip.sums.clip_on_device(max)? {
            return Ok(Scale::ToNorm(max, divisor));
        }
        read(&mut pre_clip.sums, params, ranks)?;
        Ok(match clip_factor(pre_clip.sums.norm(), max) {
            1.0 => Scale::One,
            factor => Scale::Factor(factor),
        })
    }

    /// Records that the gradients of one micro-batch were added, which was this share of the step's loss.
    pub(super) fn add_micro_batch(
        &mut self,
        share: f64,
        tracker: &FreezeTracker,
        params: &ParamSet,
    ) -> Result<()> {
        if self.compares_batches() && self.micro.is_small_batch(share) {
            let measured = ids_of_all(tracker.components(), &watched(tracker));
            self.micro.measure_first(share, &measured, params)?;
        }
        self.micro.count(share);
        Ok(())
    }

    /// Sets whether the small batch of policies that compare two is that of a rank, instead of the first micro-batch.
    #[cfg(feature = "distributed")]
    pub(super) fn set_over_ranks(&mut self, over_ranks: bool) {
        self.micro.set_over_ranks(over_ranks);
    }

    /// Returns whether this rank's gradients of this step are measured before they are summed over all ranks.
    pub(super) fn measures_rank(&self, step: u64, tracker: &FreezeTracker) -> bool {
        self.micro.is_over_ranks() && self.compares_batches() && tracker.is_due(step)
    }

    /// Measures this rank's gradients; returns the numbers to sum over all ranks.
    pub(super) fn rank_sums(&self, tracker: &FreezeTracker, params: &ParamSet) -> Result<Vec<f64>> {
        self.micro.rank_sums(&ids_of_all(tracker.components(), &watched(tracker)), params)
    }

    /// Sets the sums over all ranks of what [`rank_sums`](Self::rank_sums) returned.
    pub(super) fn set_rank_sums(&mut self, sums: &[f64], tracker: &FreezeTracker, params: &ParamSet) {
        self.micro.set_rank_sums(sums, &ids_of_all(tracker.components(), &watched(tracker)), params);
    }

    /// Checks, before anything is updated, that a policy that compares two batches has two.
    pub(super) fn check_micro_batches(&self, step: u64, tracker: &FreezeTracker) -> Result<()> {
        if self.compares_batches() && tracker.is_due(step) { self.micro.check() } else { Ok(()) }
    }

    /// Drops the measurements of gradients that no step will apply.
    pub(super) fn discard(&mut self) {
        if self.pre_clip.take().is_some() {
            // The copies are of gradients that no step applied.
            self.gradients.clear();
        }
        self.end_step();
    }

    /// Begins to count the micro-batches of the next step.
    pub(super) fn end_step(&mut self) {
        self.micro.reset();
    }

    /// Drops the state of a component and of its parameters.
    pub(super) fn forget(&mut self, index: usize, component: &Component) {
        if let Some(filter) = self.filters.get_mut(index) {
            *filter = MomentFilter::default();
        }
        for id in ids_of(component) {
            self.gradients.forget(id);
            self.weights.forget(id);
        }
    }

    /// Returns the bytes of the copies.
    pub(super) fn bytes(&self) -> u64 {
        self.gradients.bytes() + self.weights.bytes()
    }

    /// Returns the state that a checkpoint stores.
    pub(super) fn state(&self) -> MonitorState {
        MonitorState {
            filters: self.filters.clone(),
            gradients: self.gradients.state(),
            weights: self.weights.state(),
            micro_batches_seen: self.micro.seen(),
        }
    }

    /// Returns a monitor of the same kind with what [`state`](Self::state) returned, or why it does not fit.
    pub(super) fn restored(&self, state: MonitorState) -> Result<Self, String> {
        let (found, expected) = (state.filters.len(), self.filters.len());
        if found != expected {
            return Err(format!("it has averages of {found} components, expected {expected}"));
        }
        Ok(Self {
            statistics: self.statistics,
            filters: state.filters,
            gradients: self.gradients.restored(state.gradients)?,
            weights: self.weights.restored(state.weights)?,
            micro: self.micro.restored(state.micro_batches_seen),
            pre_clip: None,
            defers: self.defers,
            deferred: Deferred::Nothing,
        })
    }

    /// Returns the sums of the gradients before any clip changed them; takes them at the first clip, of all active
    /// parameters if their norm is needed.
    fn before_clip(
        &mut self,
        norm: bool,
        step: u64,
        tracker: &FreezeTracker,
        params: &ParamSet,
    ) -> Result<&mut PreClip> {
        let pre_clip = match self.pre_clip.take() {
            Some(pre_clip) => pre_clip,
            None => {
                let measured = ids_of_all(tracker.components(), &watched(tracker));
                let mut sums = GradStats::new(params.all().len());
                if norm {
                    sums.add_gradients(params.all(), params.active(), true)?;
                } else if tracker.is_due(step) || self.follows_every_step() {
                    sums.add_gradients(params.all(), &measured, !self.statistics.is_empty())?;
                }
                let deltas = self.gradient_deltas(&measured, params)?;
                PreClip { sums, deltas, has_norm: norm, factor: 1.0, clamped: false, progress: None }
            }
        };
        Ok(self.pre_clip.insert(pre_clip))
    }

    /// Returns the statistics that the update must give.
    fn stats_request(
        &self,
        due: bool,
        measured: &[ParamId],
        pre_clip: Option<&PreClip>,
        parameters: &Parameters,
        inner: &impl InnerOptimizer,
    ) -> StatsRequest {
        let clamped = pre_clip.is_some_and(|pre_clip| pre_clip.clamped);
        let follows_moments = !self.filters.is_empty();
        StatsRequest {
            // Policies without statistics are still asked about every component that has a gradient.
            gradients: pre_clip.is_none() && !measured.is_empty() && !self.statistics.is_empty(),
            // Without a clip by value and without weight decay it follows from the gradients' own sums.
            moment_input: follows_moments && (clamped || has_coupled_decay(measured, parameters, inner)),
            moments: due && self.reads(Statistic::SignalFraction),
            updates: due && self.reads(Statistic::UpdateMeanAbs),
            progress: due
                && self.reads(Statistic::Progress)
                && pre_clip.is_none_or(|pre_clip| pre_clip.progress.is_none()),
            rates: follows_moments,
        }
    }

    /// Follows the optimizer's moments through the update.
    fn follow_moments(&mut self, measurement: &Measurement, components: &[Component]) {
        if self.filters.is_empty() {
            return;
        }
        for index in &measurement.components {
            // Those of a component's first parameter: its parameters are of one group.
            let rates = ids_of(&components[*index]).next().and_then(|id| measurement.sums.rates(id));
            let squares = measurement.moment_input(&components[*index]);
            if let (Some(rates), Some(squares)) = (rates, squares) {
                let filter = &mut self.filters[*index];
                let gain = if filter.is_new() { rates.first_gain } else { rates.gain };
                filter.step(rates.decay, gain, squares);
            }
        }
    }

    /// Returns the changes of the gradients since the last step, by parameter; empty when no policy reads them.
    fn gradient_deltas(&mut self, ids: &[ParamId], params: &ParamSet) -> Result<Vec<Option<f64>>> {
        if !self.reads(Statistic::GradDeltaL1) {
            return Ok(Vec::new());
        }
        let gradients = params.handles(ids).into_iter().map(|(id, tensor)| (id, tensor.grad()));
        let gradients: Vec<_> = gradients.filter(|(_, gradient)| gradient.defined()).collect();
        self.gradients.deltas(&gradients)
    }

    /// Returns whether a policy reads this statistic.
    fn reads(&self, statistic: Statistic) -> bool {
        self.statistics.contains(statistic)
    }

    /// Returns whether a statistic is followed from step to step, whichever steps are checked.
    fn follows_every_step(&self) -> bool {
        self.reads(Statistic::SignalFraction) || self.reads(Statistic::GradDeltaL1)
    }

    /// Returns whether a policy compares a small with a large batch.
    fn compares_batches(&self) -> bool {
        self.reads(Statistic::TwoBatchSignal) || self.reads(Statistic::TwoBatchNoise)
    }
}

/// Reads sums, of all ranks where each measures only what it owns.
fn read(sums: &mut GradStats, params: &ParamSet, ranks: Option<&OverRanks>) -> Result<()> {
    sums.read()?;
    ranks.map_or(Ok(()), |ranks| ranks.exchange(sums, params))
}

/// Returns the positions of the components whose policies are asked.
fn watched(tracker: &FreezeTracker) -> Vec<usize> {
    (0..tracker.total()).filter(|index| tracker.is_active(*index)).collect()
}

/// Returns whether weight decay enters the moments of one of these parameters.
fn has_coupled_decay(ids: &[ParamId], parameters: &Parameters, inner: &impl InnerOptimizer) -> bool {
    let decays = |id: &ParamId| {
        let group = parameters.get(*id).map_or(0, |parameter| parameter.group());
        inner.get(group, Hyperparameter::WeightDecay).is_some_and(|decay| decay != 0.0)
    };
    inner.capabilities().coupled_decay && ids.iter().any(decays)
}
