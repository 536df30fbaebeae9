//! Statistics that need passes of their own, where a kernel does not compute them in the pass that updates.

use tch::{TchError, Tensor};

use crate::error::{Error, Result};
use crate::optim::upcast::Upcast;
use crate::optim::{GradScale, GradStats, StatsRequest, StepRequest};
use crate::parameters::ParamId;
use crate::torch::update::Updated;

use super::state::States;

/// The request of a step, and the statistics that answer it.
pub(super) struct Measuring<'a> {
    pub(super) request: &'a StepRequest<'a>,
    pub(super) stats: &'a mut GradStats,
}

impl Measuring<'_> {
    pub(super) fn requested(&self) -> StatsRequest {
        self.request.stats
    }

    /// Adds the sums that a kernel computed for the measured members of a bucket.
    pub(super) fn add_kernel_sums(
        &mut self,
        measured: &[(ParamId, usize)],
        requests: &[u8],
        updated: &Updated,
        has_moments: bool,
    ) {
        let requested = self.requested();
        for (id, index) in measured {
            let progress = requests.get(*index).is_some_and(|bits| States::requests_progress(*bits));
            let moments = requested.moments && has_moments;
            let requested = StatsRequest { moments, progress, ..requested };
            if updated.defined[*index] {
                self.stats.set_sums(*id, requested, &updated.sums[*index]);
            }
        }
    }

    /// Measures the gradients and the input of the moments before the update. `decay` is the coupled weight decay.
    ///
    /// Returns the inputs of the moments, by parameter, where one of both needs them.
    pub(super) fn before(
        &mut self,
        measured: &[(ParamId, &Tensor)],
        scale: GradScale<'_>,
        decay: f64,
        needs_input: bool,
    ) -> Result<Vec<(ParamId, Tensor)>> {
        let ids: Vec<ParamId> = measured.iter().map(|(id, _)| *id).collect();
        self.stats.add_gradients(self.request.parameters, &ids, self.requested().gradients)?;
        if !self.requested().moment_input && !needs_input {
            return Ok(Vec::new());
        }
        let _no_grad = tch::no_grad_guard();
        let defined = measured.iter().filter(|(_, parameter)| parameter.grad().defined());
        let inputs = defined
            .map(|(id, parameter)| {
                let input = moment_input(parameter, scale, decay);
                Ok((*id, input.map_err(|error| Error::torch("scaling and decaying a gradient", &error))?))
            })
            .collect::<Result<Vec<(ParamId, Tensor)>>>()?;
        if self.requested().moment_input {
            let list: Vec<(ParamId, &Tensor)> = inputs.iter().map(|(id, tensor)| (*id, tensor)).collect();
            self.stats.add_moment_inputs(&list)?;
        }
        Ok(inputs)
    }

    /// Measures the moments and the update of parameters that had a gradient, after the update.
    pub(super) fn after(
        &mut self,
        moments: &[(ParamId, &Tensor)],
        updates: impl FnOnce() -> Result<Vec<(ParamId, Tensor)>>,
    ) -> Result<()> {
        if self.requested().moments {
            self.stats.add_moments(moments)?;
        }
        if self.requested().updates {
            let updates = updates()?;
            let list: Vec<(ParamId, &Tensor)> = updates.iter().map(|(id, tensor)| (*id, tensor)).collect();
            self.stats.add_updates(&list)?;
        }
        Ok(())
    }
}

/// Computes what enters a parameter's moments, in f32 or wider: the gradient, scaled, with coupled weight decay added.
fn moment_input(parameter: &Tensor, scale: GradScale<'_>, decay: f64) -> Result<Tensor, TchError> {
    let gradient = scaled(&parameter.grad(), scale)?;
    if decay == 0.0 {
        return Ok(gradient);
    }
    gradient.f_add(&Upcast::of(parameter)?.tensor.f_mul_scalar(decay)?)
}

/// Scales a gradient, in f32 or wider.
pub(in crate::optim) fn scaled(gradient: &Tensor, scale: GradScale<'_>) -> Result<Tensor, TchError> {
    let wide = Upcast::of(gradient)?.tensor;
    match scale {
        GradScale::Factor(1.0) => Ok(wide),
        GradScale::Factor(factor) => wide.f_mul_scalar(factor),
        GradScale::Divisor(divisor) => wide.f_div(divisor),
    }
}
