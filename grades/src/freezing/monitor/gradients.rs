//! The gradients of the step under way: clips, the sums before them, and the changes since the step before.

use tch::Tensor;

use super::copies::Copies;
use super::reads::Reads;
use super::scale::{Scale, clip_factor};
use super::watched::watched_parameters;
use crate::error::Result;
use crate::freezing::params::ParamSet;
use crate::optim::{GradStats, InnerOptimizer};
use crate::parameters::ParamId;
use crate::statistic::Statistic;
use crate::torch::gradients;
use crate::tracker::FreezeTracker;

/// The gradients of the step under way, as they were before any clip.
#[derive(Debug)]
pub(super) struct Gradients {
    reads: Reads,
    /// For `grad-delta-l1`: the gradients of the step before.
    copies: Copies,
    /// The sums of the present gradients before a clip changed them.
    pre_clip: Option<PreClip>,
}

/// The sums of the gradients before a clip changed them.
#[derive(Debug)]
pub(super) struct PreClip {
    /// Of all active parameters for a clip by norm, else of the measured ones.
    pub(super) sums: GradStats,
    /// Σ|gₜ − gₜ₋₁|, by parameter; empty when no policy reads it.
    pub(super) deltas: Vec<Option<f64>>,
    /// Whether the sums are those of all active parameters.
    pub(super) has_norm: bool,
    /// The factor that the gradients have been multiplied by since.
    pub(super) factor: f64,
    /// Whether they were also clamped.
    pub(super) clamped: bool,
    /// The progress from the gradients before they were clamped.
    pub(super) progress: Option<PreClipProgress>,
}

/// The progress from gradients that a clip by value was about to change.
#[derive(Debug)]
pub(super) struct PreClipProgress {
    pub(super) sums: GradStats,
    /// The factor that the gradients had been multiplied by.
    pub(super) factor: f64,
}

/// A step under way: its number, and what may train in it.
#[derive(Debug, Clone, Copy)]
pub(in crate::freezing) struct CurrentStep<'a> {
    pub(in crate::freezing) step: u64,
    pub(in crate::freezing) tracker: &'a FreezeTracker,
    pub(in crate::freezing) params: &'a ParamSet,
}

impl PreClip {
    /// Returns the sums of all kinds.
    pub(super) fn all_sums(&mut self) -> impl Iterator<Item = &mut GradStats> {
        std::iter::once(&mut self.sums).chain(self.progress.iter_mut().map(|progress| &mut progress.sums))
    }
}

impl Gradients {
    /// Creates the measurements of the gradients of this many parameters.
    pub(super) fn new(reads: Reads, parameters: usize) -> Self {
        let size = if reads.has(Statistic::GradDeltaL1) { parameters } else { 0 };
        Self { reads, copies: Copies::new(size), pre_clip: None }
    }

    /// Takes the sums from before a clip; the gradients were not clipped where there are none.
    pub(super) fn take_pre_clip(&mut self) -> Option<PreClip> {
        self.pre_clip.take()
    }

    /// Returns the changes of the gradients since the last step, by parameter; empty when no policy reads them.
    pub(super) fn deltas(&mut self, ids: &[ParamId], params: &ParamSet) -> Result<Vec<Option<f64>>> {
        if !self.reads.has(Statistic::GradDeltaL1) {
            return Ok(Vec::new());
        }
        let gradients = params.handles(ids).into_iter().map(|(id, tensor)| (id, tensor.grad()));
        let gradients: Vec<_> = gradients.filter(|(_, gradient)| gradient.defined()).collect();
        self.copies.deltas(&gradients)
    }

    /// Scales the gradients so that their common L2 norm is at most `max`, and returns the norm before.
    pub(super) fn clip_norm(&mut self, max: f64, now: CurrentStep<'_>) -> Result<f64> {
        let params = now.params;
        let norm = match &self.pre_clip {
            None => {
                let pre_clip = self.before_clip(true, now)?;
                pre_clip.sums.read()?;
                pre_clip.sums.norm()
            }
            // Those sums were taken before another clip changed the gradients.
            Some(_) => {
                let mut sums = GradStats::new(params.all().len());
                sums.add_gradients(params.all(), params.active(), true)?;
                sums.read()?;
                sums.norm()
            }
        };
        let factor = clip_factor(norm, max);
        if factor < 1.0 {
            gradients::scale(&params.active_tensors(), factor)?;
            self.before_clip(true, now)?.factor *= factor;
        }
        Ok(norm)
    }

    /// Clamps every gradient value to `-max ..= max`.
    pub(super) fn clip_value(
        &mut self,
        max: f64,
        now: CurrentStep<'_>,
        inner: &mut impl InnerOptimizer,
    ) -> Result<()> {
        let CurrentStep { step, tracker, params } = now;
        let reads_progress = self.reads.has(Statistic::Progress) && tracker.is_due(step);
        let pre_clip = self.before_clip(false, now)?;
        pre_clip.clamped = true;
        if reads_progress && pre_clip.progress.is_none() {
            let mut sums = GradStats::new(params.all().len());
            inner.measure_progress(&watched_parameters(tracker), &mut sums)?;
            pre_clip.progress = Some(PreClipProgress { sums, factor: pre_clip.factor });
        }
        gradients::clamp(&params.active_tensors(), max)
    }

    /// Returns the factor by which the next update brings the gradients' common L2 norm down to `max`.
    ///
    /// One pass over the gradients gives the norm and the sums that the statistics need; the factor goes into the
    /// update. On a single CUDA device with deferred statistics it is computed there, and nothing waits for it.
    pub(super) fn scale_to_norm(&mut self, max: f64, now: CurrentStep<'_>, defers: bool) -> Result<Scale> {
        let pre_clip = self.before_clip(true, now)?;
        if defers && let Some(divisor) = pre_clip.sums.clip_on_device(max)? {
            return Ok(Scale::ToNorm(max, divisor));
        }
        pre_clip.sums.read()?;
        Ok(match clip_factor(pre_clip.sums.norm(), max) {
            1.0 => Scale::One,
            factor => Scale::Factor(factor),
        })
    }

    /// Drops the measurements of gradients that no step will apply.
    pub(super) fn discard(&mut self) {
        if self.pre_clip.take().is_some() {
            // The copies are of gradients that no step applied.
            self.copies.clear();
        }
    }

    /// Drops the copy of a parameter's gradient.
    pub(super) fn forget(&mut self, id: ParamId) {
        self.copies.forget(id);
    }

    /// Returns the bytes of the copies.
    pub(super) fn bytes(&self) -> u64 {
        self.copies.bytes()
    }

    /// Returns the state that a checkpoint stores.
    pub(super) fn state(&self) -> Vec<(ParamId, Tensor)> {
        self.copies.state()
    }

    /// Returns the measurements with what [`state`](Self::state) returned, or why it does not fit.
    pub(super) fn restored(&self, copies: Vec<(ParamId, Tensor)>) -> Result<Self, String> {
        Ok(Self { reads: self.reads, copies: self.copies.restored(copies)?, pre_clip: None })
    }

    /// Returns the sums of the gradients before any clip changed them; takes them at the first clip, of all active
    /// parameters if their norm is needed.
    fn before_clip(&mut self, norm: bool, now: CurrentStep<'_>) -> Result<&mut PreClip> {
        let CurrentStep { step, tracker, params } = now;
        let pre_clip = match self.pre_clip.take() {
            Some(pre_clip) => pre_clip,
            None => {
                let measured = watched_parameters(tracker);
                let mut sums = GradStats::new(params.all().len());
                if norm {
                    sums.add_gradients(params.all(), params.active(), true)?;
                } else if tracker.is_due(step) || self.reads.follows_every_step() {
                    sums.add_gradients(params.all(), &measured, !self.reads.is_empty())?;
                }
                let deltas = self.deltas(&measured, params)?;
                PreClip { sums, deltas, has_norm: norm, factor: 1.0, clamped: false, progress: None }
            }
        };
        Ok(self.pre_clip.insert(pre_clip))
    }
}
