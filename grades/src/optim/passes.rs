//! Sums that a step takes in passes of their own, where its kernel does not take them in the pass that updates.

use tch::Tensor;

use super::wide::Wide;
use super::{GradScale, StepRequest, StepSums, Wanted};
use crate::error::{Error, Result};
use crate::parameters::ParamId;
use crate::torch::update::Updated;

/// What is wanted of a step, and where it goes.
pub(super) struct Measuring<'a> {
    pub(super) request: &'a StepRequest<'a>,
    pub(super) sums: &'a mut StepSums,
}

impl Measuring<'_> {
    pub(super) fn wanted(&self) -> Wanted {
        self.request.wanted
    }

    /// What a kernel summed in its pass of the measured members of a batch, which may have no moments.
    pub(super) fn take(&mut self, measured: &[(ParamId, usize)], updated: &Updated, has_moments: bool) {
        let wanted = Wanted { moments: self.wanted().moments && has_moments, ..self.wanted() };
        for (id, index) in measured {
            if updated.defined[*index] {
                self.sums.take(*id, wanted, &updated.sums[*index]);
            }
        }
    }

    /// Before the update: the gradients, and what enters the moments. `decay` is the coupled weight decay.
    ///
    /// What enters the moments is handed back by parameter, where it had to be computed.
    pub(super) fn before(
        &mut self,
        measured: &[(ParamId, &Tensor)],
        scale: GradScale<'_>,
        decay: f64,
        effective: bool,
    ) -> Result<Vec<(ParamId, Tensor)>> {
        let ids: Vec<ParamId> = measured.iter().map(|(id, _)| *id).collect();
        self.sums.add_gradients(self.request.parameters, &ids, self.wanted().gradients)?;
        if !self.wanted().averaged && !effective {
            return Ok(Vec::new());
        }
        let _no_grad = tch::no_grad_guard();
        let defined = measured.iter().filter(|(_, parameter)| parameter.grad().defined());
        let taken = defined
            .map(|(id, parameter)| {
                let made = averaged(parameter, scale, decay);
                Ok((*id, made.map_err(|error| Error::torch("scaling and decaying a gradient", &error))?))
            })
            .collect::<Result<Vec<(ParamId, Tensor)>>>()?;
        if self.wanted().averaged {
            let list: Vec<(ParamId, &Tensor)> = taken.iter().map(|(id, tensor)| (*id, tensor)).collect();
            self.sums.add_averaged(&list)?;
        }
        Ok(taken)
    }

    /// After the update: the moments and the update itself, of those that had a gradient.
    pub(super) fn after(
        &mut self,
        moments: &[(ParamId, &Tensor)],
        updates: impl FnOnce() -> Result<Vec<(ParamId, Tensor)>>,
    ) -> Result<()> {
        if self.wanted().moments {
            self.sums.add_moments(moments)?;
        }
        if self.wanted().updates {
            let updates = updates()?;
            let list: Vec<(ParamId, &Tensor)> = updates.iter().map(|(id, tensor)| (*id, tensor)).collect();
            self.sums.add_updates(&list)?;
        }
        Ok(())
    }
}

/// A parameter's gradient as the update takes it, in f32 or wider: scaled, with coupled weight decay added.
pub(super) fn averaged(
    parameter: &Tensor,
    scale: GradScale<'_>,
    decay: f64,
) -> Result<Tensor, tch::TchError> {
    let gradient = scaled(&parameter.grad(), scale)?;
    if decay == 0.0 {
        return Ok(gradient);
    }
    gradient.f_add(&Wide::of(parameter)?.tensor.f_mul_scalar(decay)?)
}

/// A gradient in f32 or wider, scaled.
pub(super) fn scaled(gradient: &Tensor, scale: GradScale<'_>) -> Result<Tensor, tch::TchError> {
    let wide = Wide::of(gradient)?.tensor;
    match scale {
        GradScale::Factor(1.0) => Ok(wide),
        GradScale::Factor(factor) => wide.f_mul_scalar(factor),
        GradScale::Divisor(divisor) => wide.f_div(divisor),
    }
}
