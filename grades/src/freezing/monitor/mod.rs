//! Measures gradients, weights and moments along with the update, and turns the numbers into statistics.

mod copies;
mod deferred;
mod gradients;
mod measurement;
mod micro_batches;
mod moments;
mod plan;
mod reads;
mod scale;
mod snapshot;
mod watched;

use tch::Tensor;

use super::params::{ParamSet, ids_of, ids_of_all};
use crate::component::Component;
use crate::error::Result;
use crate::optim::{GradStats, Hyperparameter, InnerOptimizer};
use crate::parameters::ParamId;
use crate::statistic::{GradientSnapshot, MomentFilter, Statistic};
use crate::tracker::{Checked, FreezeTracker};
use copies::Copies;
pub(super) use deferred::{Deferred, Outcome};
pub(super) use gradients::CurrentStep;
use gradients::Gradients;
pub(super) use measurement::Measurement;
use micro_batches::MicroBatches;
use moments::Moments;
use plan::{Plan, stats_request};
use reads::Reads;
pub(super) use scale::Scale;
use watched::{watched, watched_parameters};

/// The measurements of a run, and the state that they need between steps.
#[derive(Debug)]
pub(super) struct Monitor {
    reads: Reads,
    moments: Moments,
    gradients: Gradients,
    /// For `weight-delta-l1`: the weights at the check before.
    weights: Copies,
    /// For the two-batch statistics.
    micro: MicroBatches,
    /// Whether measurements are read at the next step.
    defers: bool,
    deferred: Deferred,
}

/// The saved state of a [`Monitor`].
#[derive(Debug)]
pub(super) struct MonitorState {
    pub(super) filters: Vec<MomentFilter>,
    pub(super) gradients: Vec<(ParamId, Tensor)>,
    pub(super) weights: Vec<(ParamId, Tensor)>,
    pub(super) micro_batches_seen: bool,
}

impl Monitor {
    pub(super) fn new(tracker: &FreezeTracker, parameters: usize, defers: bool) -> Self {
        let reads = Reads::new(tracker.statistics());
        let size = |statistic, size| if reads.has(statistic) { size } else { 0 };
        Self {
            reads,
            moments: Moments::new(size(Statistic::SignalFraction, tracker.total())),
            gradients: Gradients::new(reads, parameters),
            weights: Copies::new(size(Statistic::WeightDeltaL1, parameters)),
            micro: MicroBatches::default(),
            defers,
            deferred: Deferred::Nothing,
        }
    }

    /// Sets whether measurements are read at the next step.
    pub(super) fn set_deferred(&mut self, defers: bool) {
        self.defers = defers;
    }

    /// Plans the measurements of the update of this step.
    pub(super) fn plan(&mut self, now: CurrentStep<'_>, inner: &impl InnerOptimizer) -> Result<Plan> {
        let CurrentStep { step, tracker, params } = now;
        let pre_clip = self.gradients.take_pre_clip();
        let due = tracker.is_due(step);
        let measures = due || self.reads.follows_every_step();
        let components = if measures { watched(tracker) } else { Vec::new() };
        let measured = ids_of_all(tracker.components(), &components);
        let deltas = match measures && pre_clip.is_none() {
            true => self.gradients.deltas(&measured, params)?,
            false => Vec::new(),
        };
        let stats = stats_request(self.reads, due, &measured, pre_clip.as_ref(), params.all(), inner);
        let measures = measures || pre_clip.is_some();
        Ok(Plan { step, due, components, measured, stats, pre_clip, deltas, measures })
    }

    /// Completes the measurements of an update from its sums; `None` when there was nothing to measure.
    pub(super) fn collect(
        &mut self,
        plan: Plan,
        mut sums: GradStats,
        scale: &Scale,
        tracker: &FreezeTracker,
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
        let mut rates = Vec::new();
        if self.moments.are_read() {
            // Decay and gain are those of a component's first parameter: its parameters are of one group.
            let first =
                |index: &usize| tracker.components().get(*index).and_then(|found| ids_of(found).next());
            rates = components.iter().filter_map(first).map(|id| sums.rates(id)).collect();
        }
        let mut weight_deltas = Vec::new();
        if due && self.reads.has(Statistic::WeightDeltaL1) {
            weight_deltas = self.weights.deltas(&params.handles(&measured))?;
        }
        let micro = if due && self.reads.compares_batches() { self.micro.take_small() } else { None };
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
            rates,
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

    /// Reads a measurement; returns the norm, and the statistics of all components if the policies are to be asked.
    pub(super) fn evaluate(
        &mut self,
        mut measurement: Measurement,
        deferred: bool,
        components: &[Component],
    ) -> Result<(Checked, Option<GradientSnapshot>)> {
        measurement.read(deferred)?;
        self.moments.follow(&measurement, components);
        let mut checked = Checked::new(measurement.step);
        checked.grad_norm = measurement.norm();
        let snapshot =
            measurement.due.then(|| snapshot::snapshot(self.reads, &self.moments, &measurement, components));
        Ok((checked, snapshot))
    }

    /// Scales the gradients so that their common L2 norm is at most `max`, and returns the norm before.
    pub(super) fn clip_norm(&mut self, max: f64, now: CurrentStep<'_>) -> Result<f64> {
        self.gradients.clip_norm(max, now)
    }

    /// Clamps every gradient value to `-max ..= max`.
    pub(super) fn clip_value(
        &mut self,
        max: f64,
        now: CurrentStep<'_>,
        inner: &mut impl InnerOptimizer,
    ) -> Result<()> {
        self.gradients.clip_value(max, now, inner)
    }

    /// Returns the factor by which the next update brings the gradients' common L2 norm down to `max`.
    pub(super) fn scale_to_norm(&mut self, max: f64, now: CurrentStep<'_>) -> Result<Scale> {
        self.gradients.scale_to_norm(max, now, self.defers)
    }

    /// Records that the gradients of one micro-batch were added, which was this share of the step's loss.
    pub(super) fn add_micro_batch(
        &mut self,
        share: f64,
        tracker: &FreezeTracker,
        params: &ParamSet,
    ) -> Result<()> {
        if self.reads.compares_batches() && self.micro.is_small_batch(share) {
            let measured = watched_parameters(tracker);
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
        self.micro.is_over_ranks() && self.reads.compares_batches() && tracker.is_due(step)
    }

    /// Measures this rank's gradients; returns the numbers to sum over all ranks.
    pub(super) fn rank_sums(&self, tracker: &FreezeTracker, params: &ParamSet) -> Result<Vec<f64>> {
        self.micro.rank_sums(&watched_parameters(tracker), params)
    }

    /// Sets the sums over all ranks of what [`rank_sums`](Self::rank_sums) returned.
    pub(super) fn set_rank_sums(&mut self, sums: &[f64], tracker: &FreezeTracker, params: &ParamSet) {
        self.micro.set_rank_sums(sums, &watched_parameters(tracker), params);
    }

    /// Checks, before anything is updated, that a policy that compares two batches has two.
    pub(super) fn check_micro_batches(&self, step: u64, tracker: &FreezeTracker) -> Result<()> {
        if self.reads.compares_batches() && tracker.is_due(step) { self.micro.check() } else { Ok(()) }
    }

    /// Drops the measurements of gradients that no step will apply.
    pub(super) fn discard(&mut self) {
        self.gradients.discard();
        self.end_step();
    }

    /// Begins to count the micro-batches of the next step.
    pub(super) fn end_step(&mut self) {
        self.micro.reset();
    }

    /// Drops the state of a component and of its parameters.
    pub(super) fn forget(&mut self, index: usize, component: &Component) {
        self.moments.forget(index);
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
            filters: self.moments.state(),
            gradients: self.gradients.state(),
            weights: self.weights.state(),
            micro_batches_seen: self.micro.seen(),
        }
    }

    /// Returns a monitor of the same kind with what [`state`](Self::state) returned, or why it does not fit.
    pub(super) fn restored(&self, state: MonitorState) -> Result<Self, String> {
        Ok(Self {
            reads: self.reads,
            moments: self.moments.restored(state.filters)?,
            gradients: self.gradients.restored(state.gradients)?,
            weights: self.weights.restored(state.weights)?,
            micro: self.micro.restored(state.micro_batches_seen),
            defers: self.defers,
            deferred: Deferred::Nothing,
        })
    }
}
