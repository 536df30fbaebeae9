//! Optimizers in a box, so that one can be chosen at run time.

use super::{
    Capabilities, GradStats, Hyperparameter, InnerOptimizer, OptimizerMemory, OptimizerState,
    StatefulOptimizer, StepRequest,
};
use crate::error::Result;
use crate::parameters::{ParamId, Parameters};

impl<O: InnerOptimizer + ?Sized> InnerOptimizer for Box<O> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
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

    fn step_measured(&mut self, request: &StepRequest<'_>, stats: &mut GradStats) -> Result<()> {
        (**self).step_measured(request, stats)
    }

    fn measure_progress(&mut self, measured: &[ParamId], stats: &mut GradStats) -> Result<()> {
        (**self).measure_progress(measured, stats)
    }

    fn release(&mut self, parameters: &[ParamId]) -> Result<()> {
        (**self).release(parameters)
    }

    fn readmit(&mut self, parameters: &[ParamId]) -> Result<()> {
        (**self).readmit(parameters)
    }

    fn set_lr_factors(&mut self, factors: &[(ParamId, f64)]) -> Result<()> {
        (**self).set_lr_factors(factors)
    }

    fn set(&mut self, group: Option<usize>, hyperparameter: Hyperparameter, value: f64) -> Result<()> {
        (**self).set(group, hyperparameter, value)
    }

    fn get(&self, group: usize, hyperparameter: Hyperparameter) -> Option<f64> {
        (**self).get(group, hyperparameter)
    }

    fn memory(&self) -> OptimizerMemory {
        (**self).memory()
    }
}

impl<O: StatefulOptimizer + ?Sized> StatefulOptimizer for Box<O> {
    fn save_state(&self) -> OptimizerState {
        (**self).save_state()
    }

    fn load_state(&mut self, state: &OptimizerState) -> Result<()> {
        (**self).load_state(state)
    }
}
