//! The measurements to make along with one update.

use super::gradients::PreClip;
use super::reads::Reads;
use super::scale::Scale;
use crate::freezing::params::ParamSet;
use crate::optim::{Hyperparameter, InnerOptimizer, StatsRequest, StepRequest};
use crate::parameters::{ParamId, Parameters};
use crate::statistic::Statistic;

/// The measurements to make along with one update.
#[derive(Debug)]
pub(in crate::freezing) struct Plan {
    pub(super) step: u64,
    /// Whether the policies are asked at this step.
    pub(super) due: bool,
    /// The positions of the components to measure.
    pub(super) components: Vec<usize>,
    /// The parameters of those components.
    pub(super) measured: Vec<ParamId>,
    pub(super) stats: StatsRequest,
    pub(super) pre_clip: Option<PreClip>,
    pub(super) deltas: Vec<Option<f64>>,
    /// Whether there is anything to measure.
    pub(super) measures: bool,
}

impl Plan {
    /// Returns the request to the inner optimizer.
    pub(in crate::freezing) fn request<'a>(
        &'a self,
        params: &'a ParamSet,
        scale: &'a Scale,
    ) -> StepRequest<'a> {
        StepRequest {
            parameters: params.all(),
            active: params.active(),
            measured: &self.measured,
            stats: self.stats,
            scale: scale.for_update(),
        }
    }
}

/// Returns the statistics that an update must give.
pub(super) fn stats_request(
    reads: Reads,
    due: bool,
    measured: &[ParamId],
    pre_clip: Option<&PreClip>,
    parameters: &Parameters,
    inner: &impl InnerOptimizer,
) -> StatsRequest {
    let clamped = pre_clip.is_some_and(|pre_clip| pre_clip.clamped);
    let follows_moments = reads.has(Statistic::SignalFraction);
    StatsRequest {
        // Policies without statistics are still asked about every component that has a gradient.
        gradients: pre_clip.is_none() && !measured.is_empty() && !reads.is_empty(),
        // Without a clip by value and without weight decay it follows from the gradients' own sums.
        moment_input: follows_moments && (clamped || has_coupled_decay(measured, parameters, inner)),
        moments: due && reads.has(Statistic::SignalFraction),
        updates: due && reads.has(Statistic::UpdateMeanAbs),
        progress: due
            && reads.has(Statistic::Progress)
            && pre_clip.is_none_or(|pre_clip| pre_clip.progress.is_none()),
        rates: follows_moments,
    }
}

/// Returns whether weight decay enters the moments of one of these parameters.
fn has_coupled_decay(ids: &[ParamId], parameters: &Parameters, inner: &impl InnerOptimizer) -> bool {
    let decays = |id: &ParamId| {
        let group = parameters.get(*id).map_or(0, |parameter| parameter.group());
        inner.get(group, Hyperparameter::WeightDecay).is_some_and(|decay| decay != 0.0)
    };
    inner.capabilities().coupled_decay && ids.iter().any(decays)
}
