//! The measurements of one update, until they are turned into statistics.

use super::gradients::PreClip;
use super::scale::{AppliedScale, clip_factor};
use crate::component::Component;
use crate::error::Result;
use crate::freezing::params::ids_of;
use crate::optim::{GradStats, MomentRates};
use crate::parameters::ParamId;
use crate::torch::gradients::GradientSums;

/// The measurements of one update.
#[derive(Debug)]
pub(in crate::freezing) struct Measurement {
    pub(super) step: u64,
    pub(super) learning_rate: Option<f64>,
    /// Whether the policies are asked at this step.
    pub(super) due: bool,
    /// The positions of the components that were measured.
    pub(super) components: Vec<usize>,
    /// The sums from the update.
    pub(super) sums: GradStats,
    /// The sums from a clip before the update, which then did not sum the gradients again.
    pub(super) pre_clip: Option<PreClip>,
    /// The factor that the update multiplied the gradients by.
    pub(super) scale: AppliedScale,
    /// Σ|gₜ − gₜ₋₁|, by parameter; empty when no policy reads it.
    pub(super) deltas: Vec<Option<f64>>,
    /// Σ|Wₜ − Wₜ₋ₖ|, by parameter; empty when no policy reads it.
    pub(super) weight_deltas: Vec<Option<f64>>,
    /// The first micro-batch's share of the step, and the sums of its gradients.
    pub(super) micro: Option<(f64, GradStats)>,
    /// The rates at which the optimizer averages each component's gradients.
    pub(super) rates: Vec<Option<MomentRates>>,
}

impl Measurement {
    /// Reads the sums that are still on devices; `deferred` says that the devices have got other work since.
    pub(super) fn read(&mut self, deferred: bool) -> Result<()> {
        let pre_clip = self.pre_clip.iter_mut().flat_map(PreClip::all_sums);
        let micro = self.micro.as_mut().map(|(_, sums)| sums);
        for sums in [Some(&mut self.sums), micro].into_iter().flatten().chain(pre_clip) {
            if deferred { sums.read_late()? } else { sums.read()? }
        }
        Ok(())
    }

    /// Returns the L2 norm of all gradients before clipping, where it was computed.
    pub(super) fn norm(&self) -> Option<f64> {
        self.pre_clip.as_ref().filter(|pre_clip| pre_clip.has_norm).map(|pre_clip| pre_clip.sums.norm())
    }

    /// Returns the sums of the gradients before any clip.
    fn raw(&self) -> &GradStats {
        self.pre_clip.as_ref().map_or(&self.sums, |pre_clip| &pre_clip.sums)
    }

    /// Returns whether a component had a gradient.
    pub(super) fn has_gradient(&self, component: &Component) -> bool {
        ids_of(component).any(|id| self.sums.has_gradient(id) || self.raw().has_gradient(id))
    }

    /// Returns Σ|g| and Σg² over a component's parameters; `None` when none has a gradient.
    pub(super) fn gradient(&self, component: &Component) -> Option<GradientSums> {
        let found = ids_of(component).filter_map(|id| self.raw().gradient(id));
        found.reduce(|total, found| GradientSums {
            absolute: total.absolute + found.absolute,
            squares: total.squares + found.squares,
        })
    }

    /// Returns the progress of a component, as the gradients before any clip have it; `None` when none of its parameters
    /// was updated before.
    pub(super) fn progress(&self, component: &Component) -> Option<f64> {
        let (sums, factor) = match &self.pre_clip {
            Some(PreClip { progress: Some(progress), .. }) => (&progress.sums, progress.factor),
            pre_clip => (&self.sums, pre_clip.as_ref().map_or(1.0, |pre_clip| pre_clip.factor)),
        };
        Some(total(component, |id| sums.progress(id))? / factor)
    }

    /// Returns Σg² over a component's parameters as it entered the optimizer's moments.
    pub(super) fn moment_input(&self, component: &Component) -> Option<f64> {
        if let Some(input) = total(component, |id| self.sums.moment_input(id)) {
            return Some(input);
        }
        let before = self.pre_clip.as_ref().map_or(1.0, |pre_clip| pre_clip.factor);
        let factor = match self.scale {
            AppliedScale::Factor(factor) => factor,
            AppliedScale::ToNorm(max) => clip_factor(self.raw().norm(), max),
        };
        Some(self.gradient(component)?.squares * (before * factor).powi(2))
    }
}

/// Returns the sum of a value over a component's parameters; `None` when none has one.
pub(super) fn total(component: &Component, value: impl Fn(ParamId) -> Option<f64>) -> Option<f64> {
    ids_of(component).filter_map(value).reduce(|total, value| total + value)
}
