//! A boxed optimizer is one, so that it can be chosen at run time.

use super::{InnerOptimizer, MomentRates, StepRequest, StepSums};
use crate::Result;
use crate::parameters::{ParamId, Parameters};

impl<O: InnerOptimizer + ?Sized> InnerOptimizer for Box<O> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn bind(&mut self, parameters: &Parameters) -> Result<()> {
        (**self).bind(parameters)
    }

    fn zero_grad(&mut self) -> Result<()> {
        (**self).zero_grad()
    }

    fn step(&mut self) -> Result<()> {
        (**self).step()
    }

    fn step_measured(&mut self, request: &StepRequest<'_>, sums: &mut StepSums) -> Result<()> {
        (**self).step_measured(request, sums)
    }

    fn release(&mut self, parameters: &[ParamId]) -> Result<()> {
        (**self).release(parameters)
    }

    fn has_moments(&self) -> bool {
        (**self).has_moments()
    }

    fn moment_rates(&self, parameters: &[ParamId]) -> Result<Vec<Option<MomentRates>>> {
        (**self).moment_rates(parameters)
    }

    fn gradient_decays(&self, parameters: &[ParamId]) -> Result<Vec<f64>> {
        (**self).gradient_decays(parameters)
    }

    fn is_adjustable(&self) -> bool {
        (**self).is_adjustable()
    }

    fn set_lr_factors(&mut self, factors: &[(ParamId, f64)]) -> Result<()> {
        (**self).set_lr_factors(factors)
    }

    fn readmit(&mut self, parameters: &[ParamId]) -> Result<()> {
        (**self).readmit(parameters)
    }

    fn set_lr(&mut self, lr: f64) -> Result<()> {
        (**self).set_lr(lr)
    }

    fn set_lr_group(&mut self, group: usize, lr: f64) -> Result<()> {
        (**self).set_lr_group(group, lr)
    }

    fn set_momentum(&mut self, momentum: f64) -> Result<()> {
        (**self).set_momentum(momentum)
    }

    fn set_momentum_group(&mut self, group: usize, momentum: f64) -> Result<()> {
        (**self).set_momentum_group(group, momentum)
    }

    fn set_weight_decay(&mut self, weight_decay: f64) -> Result<()> {
        (**self).set_weight_decay(weight_decay)
    }

    fn set_weight_decay_group(&mut self, group: usize, weight_decay: f64) -> Result<()> {
        (**self).set_weight_decay_group(group, weight_decay)
    }

    fn lr(&self) -> Option<f64> {
        (**self).lr()
    }

    fn state_bytes(&self) -> Option<u64> {
        (**self).state_bytes()
    }

    fn master_bytes(&self) -> u64 {
        (**self).master_bytes()
    }
}
