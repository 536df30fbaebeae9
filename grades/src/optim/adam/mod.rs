//! Adam, and AdamW as the same with decoupled weight decay.

mod config;
mod kernel;
mod state;

use std::fmt;

use tch::{Kind, Tensor};

pub use config::AdamConfig;

use super::batches::{Batch, batches};
use super::groups::Groups;
use super::passes::Measuring;
use super::slots::{Slots, bytes};
use super::validate::Ranges;
use super::wide::Wide;
use super::{GradScale, InnerOptimizer, MomentRates, StepRequest, StepSums};
use crate::error::{Error, Result};
use crate::parameters::{ParamId, Parameter, Parameters};
use crate::torch::update::{AdamCall, Kernel, Operation, Route, adam};

/// [`Adam`] built from [`AdamConfig::adamw`].
pub type AdamW = Adam;

/// How weight decay acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decay {
    /// Through the gradient: Adam.
    Coupled,
    /// On the weights, by lr · wd: AdamW.
    Decoupled,
}

/// Adam and AdamW (PyTorch's `torch.optim.Adam` and `AdamW`).
///
/// A parameter has no state before its first gradient; each counts its own steps. What is kept for bf16 and f16
/// parameters is [`HalfPrecision`](super::HalfPrecision)'s to say; the arithmetic is in f32.
///
/// On the CPU one pass over the parameters applies the update and takes the sums of
/// [`step_measured`](InnerOptimizer::step_measured). Its results are the same bits for any number of threads and any
/// vector instructions. A single update in f32 differs from PyTorch's `_single_tensor_adam` by at most 4 units in the last
/// place of the update, lr·m̂ ÷ (√v̂ + ε), and one of the weight.
///
/// See [`AdamConfig`] for an example.
pub struct Adam {
    config: AdamConfig,
    groups: Groups<Group>,
    slots: Slots<State>,
    batches: Vec<(Batch, States)>,
    /// Whether the batches are not those of the present state.
    stale: bool,
}

#[derive(Debug, Clone)]
struct Group {
    lr: f64,
    beta1: f64,
    weight_decay: f64,
}

/// What is kept for one parameter.
struct State {
    /// The weights in f32, of which the parameter is a rounded copy.
    master: Option<Tensor>,
    average: Tensor,
    square: Tensor,
    maximum: Option<Tensor>,
    step: Tensor,
    /// `step` as the host knows it.
    count: u64,
}

impl State {
    fn new(parameter: &Parameter, config: &AdamConfig) -> Result<Self> {
        let tensor = parameter.tensor();
        let zeros = || config.half_precision.zeros(tensor);
        let make = |master| {
            Ok(State {
                master,
                average: zeros()?,
                square: zeros()?,
                maximum: if config.amsgrad { Some(zeros()?) } else { None },
                step: Tensor::f_zeros([], (Kind::Float, tensor.device()))?,
                count: 0,
            })
        };
        let master = config.half_precision.master(parameter)?;
        make(master)
            .map_err(|error| Error::torch(format!("making Adam's state of {}", parameter.name()), &error))
    }

    /// The tensors with PyTorch's names for them.
    fn fields(&self) -> impl Iterator<Item = (&'static str, &Tensor)> {
        [("exp_avg", &self.average), ("exp_avg_sq", &self.square), ("step", &self.step)]
            .into_iter()
            .chain(self.maximum.iter().map(|maximum| ("max_exp_avg_sq", maximum)))
            .chain(self.master.iter().map(|master| ("master", master)))
    }
}

/// The states of a batch's members, field by field, as the fused kernels want them.
#[derive(Default)]
struct States {
    masters: Vec<Tensor>,
    averages: Vec<Tensor>,
    squares: Vec<Tensor>,
    maxima: Vec<Tensor>,
    steps: Vec<Tensor>,
}

impl Adam {
    fn new(config: AdamConfig, parameters: Parameters, lr: f64) -> Self {
        let group = Group { lr, beta1: config.beta1, weight_decay: config.wd };
        let groups = Groups::new(parameters.groups(), group);
        Adam { config, groups, slots: Slots::new(parameters), batches: Vec::new(), stale: false }
    }

    /// The parameters that it was built for; their ids are its own.
    pub fn parameters(&self) -> &Parameters {
        self.slots.parameters()
    }

    /// The state: for each parameter that has some, in the order of the names, its name, PyTorch's name of the
    /// field (`exp_avg`, `exp_avg_sq`, `step`, `max_exp_avg_sq`; `master` for a master copy) and the tensor.
    pub fn state(&self) -> impl Iterator<Item = (&str, &'static str, &Tensor)> {
        self.slots.live().flat_map(|(_, parameter, state)| {
            state.fields().map(|(field, tensor)| (parameter.name(), field, tensor))
        })
    }

    fn operation(&self) -> Operation {
        match self.config.decay {
            Decay::Coupled => Operation::Adam,
            Decay::Decoupled => Operation::AdamW,
        }
    }

    /// Sorts the parameters that have state into batches anew.
    fn sort(&mut self) -> Result<()> {
        self.batches.clear();
        let live = self.slots.live().map(|(id, parameter, _)| (id, parameter, self.slots.factor(id)));
        for batch in batches(live, self.config.implementation, self.operation())? {
            let mut states = States::default();
            for state in batch.members.iter().filter_map(|&id| self.slots.state(id)) {
                states.masters.extend(state.master.iter().map(Tensor::shallow_clone));
                states.averages.push(state.average.shallow_clone());
                states.squares.push(state.square.shallow_clone());
                states.maxima.extend(state.maximum.iter().map(Tensor::shallow_clone));
                states.steps.push(state.step.shallow_clone());
            }
            self.batches.push((batch, states));
        }
        self.stale = false;
        Ok(())
    }

    /// m̂ ÷ (√v̂ + ε) of the step of this count, in f32 or wider.
    fn direction(&self, state: &State, group: &Group, count: u64) -> Result<Tensor> {
        let steps = i32::try_from(count).unwrap_or(i32::MAX);
        let (first, second) = (1.0 - group.beta1.powi(steps), 1.0 - self.config.beta2.powi(steps));
        let make = || {
            let square = Wide::of(state.maximum.as_ref().unwrap_or(&state.square))?.tensor;
            let denominator = square.f_div_scalar(second)?.f_sqrt()?.f_add_scalar(self.config.eps)?;
            Wide::of(&state.average)?.tensor.f_div_scalar(first)?.f_div(&denominator)
        };
        make().map_err(|error| Error::torch("computing Adam's last update", &error))
    }

    /// One update of everything, measured where that is asked for.
    fn update(&mut self, mut measuring: Option<Measuring<'_>>) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let config = &self.config;
        let started = self.slots.start(|_| true, |parameter| State::new(parameter, config))?;
        self.stale |= !started.is_empty();
        if self.stale {
            self.sort()?;
        }
        let scale = measuring.as_ref().map_or(GradScale::Factor(1.0), |measuring| measuring.request.scale);
        let wants = match &measuring {
            Some(measuring) => self.slots.wants(measuring.request)?,
            None => Vec::new(),
        };
        for (batch, states) in &self.batches {
            let want: Vec<u8> = match wants.is_empty() {
                true => Vec::new(),
                false => batch.members.iter().map(|id| wants[id.index()]).collect(),
            };
            let updated = self.update_batch(batch, states, scale, &want, &mut measuring)?;
            for (&id, _) in batch.members.iter().zip(updated).filter(|(_, updated)| *updated) {
                if let Some(state) = self.slots.state_mut(id) {
                    state.count += 1;
                }
            }
        }
        Ok(())
    }

    /// Updates the members of a batch; whether each had a gradient.
    fn update_batch(
        &self,
        batch: &Batch,
        states: &States,
        scale: GradScale<'_>,
        want: &[u8],
        measuring: &mut Option<Measuring<'_>>,
    ) -> Result<Vec<bool>> {
        let group = self.groups.of(batch.group);
        let (factor, divisor) = scale.for_kernel(batch.kernel == Kernel::Cpu)?;
        let call = AdamCall {
            decoupled: self.config.decay == Decay::Decoupled,
            parameters: &batch.parameters,
            masters: &states.masters,
            averages: &states.averages,
            squares: &states.squares,
            maxima: &states.maxima,
            steps: &states.steps,
            lr: group.lr * batch.factor,
            betas: (group.beta1, self.config.beta2),
            weight_decay: group.weight_decay,
            eps: self.config.eps,
            factor,
            divisor,
        };
        let measured = self.slots.measured(batch, want);
        if batch.kernel == Kernel::Cpu {
            let updated = adam(&call, Route::Cpu { want })?;
            if let Some(measuring) = measuring {
                measuring.take(&measured, &updated, true);
            }
            return Ok(updated.defined);
        }
        let decay = if call.decoupled { 0.0 } else { call.weight_decay };
        if let Some(measuring) = measuring {
            let parameters: Vec<_> =
                measured.iter().map(|(id, index)| (*id, &batch.parameters[*index])).collect();
            measuring.before(&parameters, scale, decay, false)?;
        }
        let updated = match batch.kernel {
            Kernel::Cpu | Kernel::Libtorch => adam(&call, Route::Libtorch)?.defined,
            Kernel::Reference => {
                let counts = batch.members.iter().filter_map(|&id| self.slots.state(id));
                let counts: Vec<u64> = counts.map(|state| state.count).collect();
                kernel::reference(&call, scale, &counts)?
            }
        };
        if let Some(measuring) = measuring {
            let there: Vec<(ParamId, usize)> =
                measured.into_iter().filter(|(_, index)| updated[*index]).collect();
            let moments: Vec<_> = there.iter().map(|(id, index)| (*id, &states.averages[*index])).collect();
            measuring.after(&moments, || {
                let direction = |(id, index): &(ParamId, usize)| {
                    let state = self.slots.state(batch.members[*index]);
                    state.map(|state| Ok((*id, self.direction(state, group, state.count + 1)?))).transpose()
                };
                there.iter().filter_map(|found| direction(found).transpose()).collect()
            })?;
        }
        Ok(updated)
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

impl InnerOptimizer for Adam {
    fn name(&self) -> &'static str {
        match self.config.decay {
            Decay::Coupled => "adam",
            Decay::Decoupled => "adamw",
        }
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
        // They hold the state that is to be freed.
        self.batches.clear();
        self.stale = true;
        Ok(())
    }

    fn has_moments(&self) -> bool {
        true
    }

    fn moment_rates(&self, parameters: &[ParamId]) -> Result<Vec<Option<MomentRates>>> {
        let rates = |id: &ParamId| {
            self.slots.state(*id)?;
            let decay = self.groups.of(self.parameters().get(*id)?.group()).beta1;
            Some(MomentRates { decay, gain: 1.0 - decay, first_gain: 1.0 - decay })
        };
        Ok(self.slots.own(parameters)?.iter().map(rates).collect())
    }

    fn gradient_decays(&self, parameters: &[ParamId]) -> Result<Vec<f64>> {
        let decay = |id: &ParamId| match (self.config.decay, self.parameters().get(*id)) {
            (Decay::Coupled, Some(parameter)) => self.groups.of(parameter.group()).weight_decay,
            (Decay::Decoupled, _) | (_, None) => 0.0,
        };
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
        Ranges::default().below_one("momentum (beta1)", momentum).check()?;
        self.set(None, |group| group.beta1 = momentum)
    }

    fn set_momentum_group(&mut self, group: usize, momentum: f64) -> Result<()> {
        Ranges::default().below_one("momentum (beta1)", momentum).check()?;
        self.set(Some(group), |group| group.beta1 = momentum)
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

impl fmt::Debug for Adam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adam")
            .field("config", &self.config)
            .field("groups", &self.groups)
            .field("parameters", &self.parameters().len())
            .field("with_state", &self.slots.live().count())
            .finish()
    }
}
