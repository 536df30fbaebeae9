//! What was measured at one step, until it is turned into statistics.

use crate::component::Component;
use crate::error::Result;
use crate::optim::{GradStats, MomentRates};
use crate::parameters::ParamId;
use crate::torch::gradients::GradientSums;

/// What was read of the gradients before a clip changed them.
#[derive(Debug)]
pub(super) struct Clipped {
    /// Of all active parameters after a clip of the norm, else of the measured ones.
    pub(super) sums: GradStats,
    /// Σ|gₜ − gₜ₋₁|, by parameter; empty when no policy reads it.
    pub(super) deltas: Vec<Option<f64>>,
    /// Whether the sums are those of all active parameters.
    pub(super) has_norm: bool,
    /// What the gradients have been multiplied by since.
    pub(super) factor: f64,
    /// Whether they were changed in another way too.
    pub(super) changed: bool,
}

/// What one step measured.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) step: u64,
    pub(super) learning_rate: Option<f64>,
    /// Whether the policies are asked about it.
    pub(super) due: bool,
    /// The components that were measured, as positions.
    pub(super) components: Vec<usize>,
    /// What the step summed.
    pub(super) sums: GradStats,
    /// What a clip before it had summed: then the step did not sum the gradients again.
    pub(super) clipped: Option<Clipped>,
    /// What the step multiplied the gradients by.
    pub(super) scale: Scaled,
    /// Σ|gₜ − gₜ₋₁|, by parameter; empty when no policy reads it.
    pub(super) deltas: Vec<Option<f64>>,
    /// Σ|Wₜ − Wₜ₋ₖ|, by parameter; empty when no policy reads it.
    pub(super) weight_deltas: Vec<Option<f64>>,
    /// The first micro-batch's share of the step, and the sums of its gradients.
    pub(super) micro: Option<(f64, GradStats)>,
    /// How the optimizer averaged each component's gradients.
    pub(super) rates: Vec<Option<MomentRates>>,
}

/// What a step multiplied gradients by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scaled {
    By(f64),
    /// By what brought their norm down to this, computed on their device.
    ToNorm(f64),
}

impl Reading {
    /// Takes in what is still on devices; `late` says that they were given other work since.
    pub(super) fn read(&mut self, late: bool) -> Result<()> {
        let clipped = self.clipped.as_mut().map(|clipped| &mut clipped.sums);
        let micro = self.micro.as_mut().map(|(_, sums)| sums);
        for sums in [Some(&mut self.sums), clipped, micro].into_iter().flatten() {
            if late { sums.read_late()? } else { sums.read()? }
        }
        Ok(())
    }

    /// The L2 norm of all gradients before they were clipped, where they were.
    pub(super) fn norm(&self) -> Option<f64> {
        self.clipped.as_ref().filter(|clipped| clipped.has_norm).map(|clipped| clipped.sums.norm())
    }

    fn raw(&self) -> &GradStats {
        self.clipped.as_ref().map_or(&self.sums, |clipped| &clipped.sums)
    }

    /// Whether a component had a gradient.
    pub(super) fn has_gradient(&self, component: &Component) -> bool {
        ids(component).any(|id| self.sums.has_gradient(id) || self.raw().has_gradient(id))
    }

    /// Σ|g| and Σg² over a component's parameters; `None` when none has a gradient.
    pub(super) fn gradient(&self, component: &Component) -> Option<GradientSums> {
        let found = ids(component).filter_map(|id| self.raw().gradient(id));
        found.reduce(|total, found| GradientSums {
            absolute: total.absolute + found.absolute,
            squares: total.squares + found.squares,
        })
    }

    /// Σg² over a component's parameters as the optimizer averaged it.
    pub(super) fn averaged(&self, component: &Component) -> Option<f64> {
        if let Some(input) = total(component, |id| self.sums.moment_input(id)) {
            return Some(input);
        }
        let before = self.clipped.as_ref().map_or(1.0, |clipped| clipped.factor);
        let factor = match self.scale {
            Scaled::By(factor) => factor,
            Scaled::ToNorm(max) => clip_factor(self.raw().norm(), max),
        };
        Some(self.gradient(component)?.squares * (before * factor).powi(2))
    }
}

/// What gradients of this norm are multiplied by so that it is at most `max`, as in `torch.nn.utils.clip_grad_norm_`;
/// those whose norm is not finite are left alone.
pub(super) fn clip_factor(norm: f64, max: f64) -> f64 {
    let factor = max / (norm + 1e-6);
    if norm.is_finite() && factor < 1.0 { factor } else { 1.0 }
}

/// The sum of a value over a component's parameters; `None` when none has one.
pub(super) fn total(component: &Component, value: impl Fn(ParamId) -> Option<f64>) -> Option<f64> {
    ids(component).filter_map(value).reduce(|total, value| total + value)
}

fn ids(component: &Component) -> impl Iterator<Item = ParamId> + '_ {
    component.parameters.iter().map(|position| ParamId::new(*position))
}
