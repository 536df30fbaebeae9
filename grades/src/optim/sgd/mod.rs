//! Stochastic gradient descent, with or without momentum.

mod config;
mod kernel;
mod state;

use std::fmt;

use tch::Tensor;

pub use config::SgdConfig;

use super::batches::{Batch, batches};
use super::groups::Groups;
use super::passes::Measuring;
use super::slots::{Slots, bytes};
use super::validate::Ranges;
use super::wide::Wide;
use super::{GradScale, InnerOptimizer, MomentRates, StepRequest, StepSums};
use crate::error::{Error, Result};
use crate::parameters::{ParamId, Parameter, Parameters};
use crate::torch::gradients;
use crate::torch::update::{Kernel, Operation, Route, SgdCall, sgd};

/// SGD (PyTorch's `torch.optim.SGD`).
///
/// With a momentum, each parameter has one buffer, made at its first gradient; of which kind it is for bf16 and f16
/// parameters is [`HalfPrecision`](super::HalfPrecision)'s to say. A buffer stays when the momentum is set to 0, and is
/// used again when it is set back, as in PyTorch.
///
/// On the CPU one pass over the parameters applies the update and takes the sums of
/// [`step_measured`](InnerOptimizer::step_measured). Its results are the same bits for any number of threads and any
/// vector instructions, and differ from PyTorch's `_single_tensor_sgd` by rounding at most.
///
/// See [`SgdConfig`] for an example.
pub struct Sgd {
    config: SgdConfig,
    groups: Groups<Group>,
    slots: Slots<State>,
    batches: Vec<(Batch, States)>,
    /// Whether the batches are not those of the present state and groups.
    stale: bool,
}

/// What is kept for one parameter.
#[derive(Default)]
struct State {
    /// The momentum buffer, from the first gradient under a momentum on.
    buffer: Option<Tensor>,
    /// The weights in f32, of which the parameter is a rounded copy.
    master: Option<Tensor>,
}

/// The states of a batch's members, field by field.
struct States {
    /// None where the group has no momentum.
    buffers: Vec<Tensor>,
    masters: Vec<Tensor>,
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
    /// field (`momentum_buffer`; `master` for a master copy) and the tensor.
    pub fn state(&self) -> impl Iterator<Item = (&str, &'static str, &Tensor)> {
        self.slots.live().flat_map(|(_, parameter, state)| {
            let buffer = state.buffer.iter().map(|buffer| ("momentum_buffer", buffer));
            let fields = buffer.chain(state.master.iter().map(|master| ("master", master)));
            fields.map(|(field, tensor)| (parameter.name(), field, tensor))
        })
    }

    fn buffer(&self, id: ParamId) -> Option<&Tensor> {
        self.slots.state(id)?.buffer.as_ref()
    }

    fn has_master(&self, id: ParamId) -> bool {
        self.parameters().get(id).is_some_and(|parameter| self.config.half_precision.has_master(parameter))
    }

    fn momentum(&self, id: ParamId) -> f64 {
        self.parameters().get(id).map_or(0.0, |parameter| self.groups.of(parameter.group()).momentum)
    }

    /// Sorts the parameters for which `wanted` holds into batches.
    fn sorted(&self, wanted: impl Fn(ParamId) -> bool) -> Result<Vec<(Batch, States)>> {
        let kept = self.slots.kept().filter(|(id, _)| wanted(*id));
        let members = kept.map(|(id, parameter)| (id, parameter, self.slots.factor(id)));
        let with_states = |batch: Batch| {
            let states = || batch.members.iter().filter_map(|&id| self.slots.state(id));
            let masters = states().filter_map(|state| state.master.as_ref());
            let masters = masters.map(Tensor::shallow_clone).collect();
            let buffers = match self.groups.of(batch.group).momentum {
                0.0 => Vec::new(),
                _ => states().filter_map(|state| state.buffer.as_ref()).map(Tensor::shallow_clone).collect(),
            };
            (batch, States { buffers, masters })
        };
        let batches = batches(members, self.config.implementation, Operation::Sgd)?;
        Ok(batches.into_iter().map(with_states).collect())
    }

    /// Makes the state of parameters that have their first gradient; those whose buffer is new come in order.
    fn start(&mut self) -> Result<Vec<ParamId>> {
        let half = self.config.half_precision;
        let groups = &self.groups;
        let momentum = |parameter: &Parameter| groups.of(parameter.group()).momentum != 0.0;
        let started = self.slots.start(
            |parameter| momentum(parameter) || half.has_master(parameter),
            |parameter| Ok(State { buffer: None, master: half.master(parameter)? }),
        )?;
        self.stale |= !started.is_empty();
        if !self.stale {
            return Ok(Vec::new());
        }
        // Those that started, and those whose group has been given a momentum since.
        let bare =
            self.slots.live().filter(|(_, parameter, state)| momentum(parameter) && state.buffer.is_none());
        let bare: Vec<(ParamId, &Tensor)> = bare.map(|(id, parameter, _)| (id, parameter.tensor())).collect();
        let tensors: Vec<&Tensor> = bare.iter().map(|(_, tensor)| *tensor).collect();
        let defined = gradients::defined(&tensors)?;
        let ready = bare.into_iter().zip(defined).filter(|(_, defined)| *defined);
        let made = ready
            .map(|((id, tensor), _)| {
                let zeros = half.zeros(tensor);
                Ok((id, zeros.map_err(|error| Error::torch("making SGD's buffer", &error))?))
            })
            .collect::<Result<Vec<(ParamId, Tensor)>>>()?;
        let ids = made.iter().map(|(id, _)| *id).collect();
        for (id, buffer) in made {
            if let Some(state) = self.slots.state_mut(id) {
                state.buffer = Some(buffer);
            }
        }
        Ok(ids)
    }

    /// One update of everything, measured where that is asked for.
    fn update(&mut self, mut measuring: Option<Measuring<'_>>) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let first = self.start()?;
        if self.stale {
            // Those that lack a buffer or a master copy that they are to have wait for their first gradient.
            let old = |id: &ParamId| first.binary_search(id).is_err();
            let ready = |id| match self.momentum(id) == 0.0 {
                true => self.slots.state(id).is_some() || !self.has_master(id),
                false => self.buffer(id).is_some() && old(&id),
            };
            self.batches = self.sorted(ready)?;
        }
        // A parameter that has a master copy but no buffer yet is in no batch: it is looked at again at each step.
        let waits = |id: ParamId| {
            self.momentum(id) != 0.0 && self.slots.state(id).is_some() && self.buffer(id).is_none()
        };
        self.stale = !first.is_empty() || self.stale && self.parameters().ids().any(waits);
        let wants = match &measuring {
            Some(measuring) => self.slots.wants(measuring.request)?,
            None => Vec::new(),
        };
        for (batch, states) in &self.batches {
            self.update_batch(batch, states, false, &wants, &mut measuring)?;
        }
        if !first.is_empty() {
            for (batch, states) in &self.sorted(|id| first.binary_search(&id).is_ok())? {
                self.update_batch(batch, states, true, &wants, &mut measuring)?;
            }
        }
        Ok(())
    }

    fn update_batch(
        &self,
        batch: &Batch,
        states: &States,
        first: bool,
        wants: &[u8],
        measuring: &mut Option<Measuring<'_>>,
    ) -> Result<()> {
        let group = self.groups.of(batch.group);
        let scale = measuring.as_ref().map_or(GradScale::Factor(1.0), |measuring| measuring.request.scale);
        let (factor, divisor) = scale.for_kernel(batch.kernel == Kernel::Cpu)?;
        let call = SgdCall {
            parameters: &batch.parameters,
            masters: &states.masters,
            buffers: &states.buffers,
            lr: group.lr * batch.factor,
            momentum: group.momentum,
            dampening: self.config.dampening,
            weight_decay: group.weight_decay,
            nesterov: self.config.nesterov,
            first,
            factor,
            divisor,
        };
        let want: Vec<u8> = match wants.is_empty() {
            true => Vec::new(),
            false => batch.members.iter().map(|id| wants[id.index()]).collect(),
        };
        let measured = self.slots.measured(batch, &want);
        if batch.kernel == Kernel::Cpu {
            let updated = sgd(&call, Route::Cpu { want: &want })?;
            if let Some(measuring) = measuring {
                measuring.take(&measured, &updated, !call.buffers.is_empty());
            }
            return Ok(());
        }
        let mut effective = Vec::new();
        if let Some(measuring) = measuring {
            let parameters: Vec<_> =
                measured.iter().map(|(id, index)| (*id, &batch.parameters[*index])).collect();
            let needed = measuring.wanted().updates && (call.nesterov || call.buffers.is_empty());
            effective = measuring.before(&parameters, scale, call.weight_decay, needed)?;
        }
        let updated = match batch.kernel {
            Kernel::Cpu | Kernel::Libtorch => sgd(&call, Route::Libtorch)?.defined,
            Kernel::Reference => kernel::reference(&call, scale)?,
        };
        if let Some(measuring) = measuring {
            let there: Vec<(ParamId, usize)> =
                measured.into_iter().filter(|(_, index)| updated[*index]).collect();
            let moments = there.iter().filter_map(|(id, index)| Some((*id, states.buffers.get(*index)?)));
            measuring.after(&moments.collect::<Vec<_>>(), || directions(&call, &there, effective))?;
        }
        Ok(())
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

/// The updates over the learning rate: the buffers, or in Nesterov's form what entered them + μ·buffer, or without a
/// momentum the gradients.
fn directions(
    call: &SgdCall<'_>,
    there: &[(ParamId, usize)],
    effective: Vec<(ParamId, Tensor)>,
) -> Result<Vec<(ParamId, Tensor)>> {
    if call.buffers.is_empty() {
        return Ok(effective);
    }
    // What entered is of the same parameters in the same order.
    let mut entered = effective.into_iter().filter(|_| call.nesterov);
    let mut make = |(id, index): &(ParamId, usize)| {
        let buffer = Wide::of(&call.buffers[*index])?.tensor;
        match entered.next().filter(|(other, _)| other == id) {
            Some((_, entered)) => buffer.f_mul_scalar(call.momentum)?.f_add(&entered),
            None => Ok(buffer),
        }
    };
    let one = |found: &(ParamId, usize)| {
        Ok((found.0, make(found).map_err(|error| Error::torch("computing SGD's last update", &error))?))
    };
    there.iter().map(one).collect()
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
        self.update(None)
    }

    fn step_measured(&mut self, request: &StepRequest<'_>, sums: &mut StepSums) -> Result<()> {
        self.update(Some(Measuring { request, sums }))
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
            self.buffer(*id)?;
            let decay = self.groups.of(self.parameters().get(*id)?.group()).momentum;
            Some(MomentRates { decay, gain: 1.0 - self.config.dampening, first_gain: 1.0 })
        };
        Ok(self.slots.own(parameters)?.iter().map(rates).collect())
    }

    fn gradient_decays(&self, parameters: &[ParamId]) -> Result<Vec<f64>> {
        let decay =
            |id: &ParamId| self.parameters().get(*id).map_or(0.0, |p| self.groups.of(p.group()).weight_decay);
        Ok(self.slots.own(parameters)?.iter().map(decay).collect())
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
        let fields = self.state().filter(|(_, field, _)| *field != "master");
        Some(fields.map(|(_, _, tensor)| bytes(tensor)).sum())
    }

    fn master_bytes(&self) -> u64 {
        self.slots.live().filter_map(|(_, _, state)| state.master.as_ref()).map(bytes).sum()
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
