//! Stochastic gradient descent, with or without momentum.

mod config;
mod kernel;

use std::fmt;

use tch::Tensor;

pub use config::SgdConfig;

use super::batches::{Batch, batches};
use super::groups::Groups;
use super::slots::{Slots, bytes};
use super::validate::Ranges;
use super::wide::Wide;
use super::{InnerOptimizer, MomentRates};
use crate::parameters::{ParamId, Parameter, Parameters};
use crate::torch::fused::Operation;
use crate::torch::gradients;
use crate::{Error, Result};
use kernel::{Lists, Numbers};

/// SGD (PyTorch's `torch.optim.SGD`), on libtorch's fused kernel.
///
/// With a momentum, each parameter has one buffer of its own kind, made at its first gradient. A buffer stays when
/// the momentum is set to 0, and is used again when it is set back, as in PyTorch.
///
/// See [`SgdConfig`] for an example.
pub struct Sgd {
    config: SgdConfig,
    groups: Groups<Group>,
    /// The state is the momentum buffer.
    slots: Slots<Tensor>,
    /// Each with its buffers, none where the group has no momentum.
    batches: Vec<(Batch, Vec<Tensor>)>,
    /// Whether the batches are not those of the present state and groups.
    stale: bool,
}

#[derive(Debug, Clone)]
struct Group {
    lr: f64,
    momentum: f64,
    weight_decay: f64,
}

impl Sgd {
    fn new(config: SgdConfig, parameters: Parameters, lr: f64) -> Self {
        let group = Group { lr, momentum: config.momentum, weight_decay: config.wd };
        let groups = Groups::new(parameters.groups(), group);
        Sgd { config, groups, slots: Slots::new(parameters), batches: Vec::new(), stale: true }
    }

    /// The parameters that it was built for; their ids are its own.
    pub fn parameters(&self) -> &Parameters {
        self.slots.parameters()
    }

    /// The state: for each parameter that has some, in the order of the names, its name, PyTorch's name of the
    /// field (`momentum_buffer`) and the tensor.
    pub fn state(&self) -> impl Iterator<Item = (&str, &'static str, &Tensor)> {
        self.slots.live().map(|(_, parameter, buffer)| (parameter.name(), "momentum_buffer", buffer))
    }

    /// Sorts the parameters for which `wanted` holds into batches.
    fn sorted(&self, wanted: impl Fn(ParamId) -> bool) -> Result<Vec<(Batch, Vec<Tensor>)>> {
        let kept = self.slots.kept().filter(|(id, _)| wanted(*id));
        let members = kept.map(|(id, parameter)| (id, parameter, self.slots.factor(id)));
        let batches = batches(members, self.config.implementation, Operation::Sgd)?;
        let with_buffers = |batch: Batch| {
            let states = batch.members.iter().filter_map(|&id| self.slots.state(id));
            let buffers = match self.groups.of(batch.group).momentum {
                0.0 => Vec::new(),
                _ => states.map(Tensor::shallow_clone).collect(),
            };
            (batch, buffers)
        };
        Ok(batches.into_iter().map(with_buffers).collect())
    }

    fn apply(&self, batches: &[(Batch, Vec<Tensor>)], first: bool) -> Result<()> {
        for (batch, buffers) in batches {
            let group = self.groups.of(batch.group);
            let numbers = Numbers {
                lr: group.lr * batch.factor,
                momentum: group.momentum,
                dampening: self.config.dampening,
                weight_decay: group.weight_decay,
                nesterov: self.config.nesterov,
                first,
            };
            let lists = Lists { parameters: &batch.parameters, buffers };
            match batch.fused {
                true => kernel::fused(&lists, &numbers)?,
                false => kernel::reference(&lists, &numbers)?,
            }
        }
        Ok(())
    }

    /// The last update over the learning rate, d: the buffer, or in Nesterov's form g + λ·W + μ·buffer, where λ is the
    /// weight decay and W the parameter before the update, which is now W − lr·d.
    fn direction(&self, id: ParamId, buffer: &Tensor) -> Result<Tensor> {
        let parameter = self.slots.parameters().get(id).filter(|_| self.config.nesterov);
        let Some(parameter) = parameter.filter(|parameter| parameter.tensor().grad().defined()) else {
            return Ok(buffer.shallow_clone());
        };
        let Group { lr, momentum, weight_decay } = *self.groups.of(parameter.group());
        let make = || {
            let pushed = Wide::of(buffer)?.tensor.f_mul_scalar(momentum)?;
            let sum = pushed.f_add(&parameter.tensor().grad())?;
            if weight_decay == 0.0 {
                return Ok(sum);
            }
            let decay = Wide::of(parameter.tensor())?.tensor.f_mul_scalar(weight_decay)?;
            sum.f_add(&decay)?.f_div_scalar(1.0 - weight_decay * lr * self.slots.factor(id))
        };
        make().map_err(|error| Error::torch("computing SGD's last update", &error))
    }

    fn set(&mut self, group: Option<usize>, set: impl Fn(&mut Group)) -> Result<()> {
        let groups = match group {
            None => self.groups.all_mut(),
            Some(group) => self.groups.one_mut(group)?,
        };
        groups.iter_mut().for_each(set);
        Ok(())
    }
}

fn new_buffer(parameter: &Parameter) -> Result<Tensor> {
    let buffer = parameter.tensor().f_zeros_like();
    buffer.map_err(|error| Error::torch(format!("making SGD's buffer of {}", parameter.name()), &error))
}

impl InnerOptimizer for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn bind(&mut self, parameters: &Parameters) -> Result<()> {
        self.slots.bind(parameters)
    }

    fn zero_grad(&mut self) -> Result<()> {
        self.slots.zero_grad()
    }

    fn step(&mut self) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        if self.stale {
            // Those with momentum but without a buffer wait for their first gradient.
            let momentum = |id| self.parameters().get(id).map(|p| self.groups.of(p.group()).momentum);
            let ready = |id| momentum(id) == Some(0.0) || self.slots.state(id).is_some();
            self.batches = self.sorted(ready)?;
        }
        let groups = &self.groups;
        let started = self.slots.start(|p| groups.of(p.group()).momentum != 0.0, new_buffer)?;
        self.stale = !started.is_empty();
        self.apply(&self.batches, false)?;
        if !started.is_empty() {
            self.apply(&self.sorted(|id| started.binary_search(&id).is_ok())?, true)?;
        }
        Ok(())
    }

    fn release(&mut self, parameters: &[ParamId]) -> Result<()> {
        self.slots.release(parameters)?;
        // They hold the buffers that are to be freed.
        self.batches.clear();
        self.stale = true;
        Ok(())
    }

    fn has_moments(&self) -> bool {
        self.groups.all().iter().all(|group| group.momentum > 0.0)
    }

    fn moment_rates(&self, parameters: &[ParamId]) -> Result<Vec<Option<MomentRates>>> {
        let rates = |id: &ParamId| {
            self.slots.state(*id)?;
            let decay = self.groups.of(self.parameters().get(*id)?.group()).momentum;
            Some(MomentRates { decay, gain: 1.0 - self.config.dampening, first_gain: 1.0 })
        };
        Ok(self.slots.own(parameters)?.iter().map(rates).collect())
    }

    fn moment_squares(&self, parameters: &[ParamId]) -> Result<Vec<Option<f64>>> {
        let ids = self.slots.own(parameters)?;
        let buffers: Vec<_> = ids.iter().map(|id| self.slots.state(*id)).collect();
        Ok(gradients::sums_where_defined(&buffers)?.into_iter().map(|sums| Some(sums?.squares)).collect())
    }

    fn gradient_decays(&self, parameters: &[ParamId]) -> Result<Vec<f64>> {
        let decay =
            |id: &ParamId| self.parameters().get(*id).map_or(0.0, |p| self.groups.of(p.group()).weight_decay);
        Ok(self.slots.own(parameters)?.iter().map(decay).collect())
    }

    fn update_sums(&self, parameters: &[ParamId]) -> Result<Vec<Option<f64>>> {
        let ids = self.slots.own(parameters)?;
        let _no_grad = tch::no_grad_guard();
        let directions = ids
            .iter()
            .map(|id| self.slots.state(*id).map(|buffer| self.direction(*id, buffer)).transpose())
            .collect::<Result<Vec<Option<Tensor>>>>()?;
        let directions: Vec<_> = directions.iter().map(Option::as_ref).collect();
        Ok(gradients::sums_where_defined(&directions)?.into_iter().map(|sums| Some(sums?.absolute)).collect())
    }

    fn is_adjustable(&self) -> bool {
        true
    }

    fn set_lr_factors(&mut self, factors: &[(ParamId, f64)]) -> Result<()> {
        self.stale |= self.slots.set_factors(factors)?;
        Ok(())
    }

    fn readmit(&mut self, parameters: &[ParamId]) -> Result<()> {
        self.slots.readmit(parameters)?;
        self.stale = true;
        Ok(())
    }

    fn set_lr(&mut self, lr: f64) -> Result<()> {
        Ranges::default().not_negative("lr", lr).check()?;
        self.set(None, |group| group.lr = lr)
    }

    fn set_lr_group(&mut self, group: usize, lr: f64) -> Result<()> {
        Ranges::default().not_negative("lr", lr).check()?;
        self.set(Some(group), |group| group.lr = lr)
    }

    fn set_momentum(&mut self, momentum: f64) -> Result<()> {
        self.config.momentum_range(momentum).check()?;
        self.stale = true;
        self.set(None, |group| group.momentum = momentum)
    }

    fn set_momentum_group(&mut self, group: usize, momentum: f64) -> Result<()> {
        self.config.momentum_range(momentum).check()?;
        self.stale = true;
        self.set(Some(group), |group| group.momentum = momentum)
    }

    fn set_weight_decay(&mut self, weight_decay: f64) -> Result<()> {
        Ranges::default().not_negative("weight_decay", weight_decay).check()?;
        self.set(None, |group| group.weight_decay = weight_decay)
    }

    fn set_weight_decay_group(&mut self, group: usize, weight_decay: f64) -> Result<()> {
        Ranges::default().not_negative("weight_decay", weight_decay).check()?;
        self.set(Some(group), |group| group.weight_decay = weight_decay)
    }

    fn lr(&self) -> Option<f64> {
        Some(self.groups.first().lr)
    }

    fn state_bytes(&self) -> Option<u64> {
        Some(self.state().map(|(_, _, tensor)| bytes(tensor)).sum())
    }
}

impl fmt::Debug for Sgd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sgd")
            .field("config", &self.config)
            .field("groups", &self.groups)
            .field("parameters", &self.parameters().len())
            .field("with_state", &self.slots.live().count())
            .finish()
    }
}
