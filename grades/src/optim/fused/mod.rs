//! Optimizers on fused kernels: the flow of a step that Adam and SGD share.

mod buckets;
mod family;
mod measuring;
mod recipe;
mod saved;
mod state;

use std::fmt;

use tch::{Kind, Tensor};

use super::groups::{Group, Groups};
use super::implementation::Kernel;
use super::range::Range;
use super::{
    Capabilities, GradScale, GradStats, Hyperparameter, InnerOptimizer, OptimizerMemory, StepRequest,
};
use crate::error::{Error, Result};
use crate::parameters::{ParamId, Parameter, Parameters};
use crate::torch::byte_len;
use crate::torch::update::{Route, UpdateCall};
use buckets::{Bucket, Member};
use measuring::Measuring;
use recipe::Recipe;
use state::States;

pub(super) use family::{Call, KernelFamily};
pub(super) use measuring::scaled;

/// An optimizer that updates many parameters in one call of a kernel: [`Adam`](super::Adam) or [`Sgd`](super::Sgd).
#[expect(private_bounds, reason = "the families of kernels are those of this crate")]
pub struct Fused<K: KernelFamily> {
    recipe: Recipe<K>,
    states: States,
    buckets: Vec<Bucket>,
    /// The buckets do not match the present state and groups.
    stale: bool,
}

#[expect(private_bounds, reason = "the families of kernels are those of this crate")]
impl<K: KernelFamily> Fused<K> {
    pub(super) fn new(family: K, group: Group, parameters: Parameters) -> Self {
        let groups = Groups::new(parameters.groups(), group);
        let recipe = Recipe { family, groups };
        Fused { recipe, states: States::new(parameters), buckets: Vec::new(), stale: true }
    }

    /// Returns the parameters that it was built for; their ids are its own.
    pub fn parameters(&self) -> &Parameters {
        self.states.parameters()
    }

    /// Returns the state: for each parameter that has some, in the order of the names, its name, PyTorch's name of the
    /// field (Adam: `exp_avg`, `exp_avg_sq`, `step`, `max_exp_avg_sq`; SGD: `momentum_buffer`; both: `master` for a
    /// master copy) and the tensor.
    pub fn state(&self) -> impl Iterator<Item = (&str, &'static str, &Tensor)> {
        self.states.live().flat_map(|(_, parameter, state)| {
            state.tensors(K::FIELDS).map(|(field, tensor)| (parameter.name(), field, tensor))
        })
    }

    /// Makes the state of parameters that have their first gradient, and fields that became necessary since; returns, in
    /// order, the parameters whose first update differs from later ones.
    fn start(&mut self) -> Result<Vec<ParamId>> {
        let recipe = &self.recipe;
        let started = self
            .states
            .start(|parameter| recipe.needs_state(parameter), |parameter| recipe.new_state(parameter))?;
        self.stale |= !started.is_empty();
        if !self.stale {
            return Ok(Vec::new());
        }
        let completed = self.states.complete(
            |parameter, state| recipe.missing(parameter, state),
            |parameter, field| recipe.new_field(parameter, field),
        )?;
        if !K::FIRST_UPDATE_DIFFERS {
            return Ok(Vec::new());
        }
        let has_fields = |id: &ParamId| {
            self.states.state(*id).is_some_and(|state| state.fields.iter().any(Option::is_some))
        };
        let mut first: Vec<ParamId> = started.into_iter().filter(has_fields).chain(completed).collect();
        first.sort_unstable();
        Ok(first)
    }

    /// Sorts the parameters that are not released and for which `ready` holds into buckets.
    fn sorted(&self, ready: impl Fn(ParamId, &Parameter) -> bool) -> Result<Vec<Bucket>> {
        let kept = self.states.kept().filter(|(id, parameter)| ready(*id, parameter));
        let members = kept.map(|(id, parameter)| {
            let (factor, state) = (self.states.factor(id), self.states.state(id));
            Member { id, parameter, factor, state }
        });
        buckets::sort(&self.recipe, members)
    }

    /// Applies one update, measured on request.
    fn update(&mut self, mut measuring: Option<Measuring<'_>>) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let first = self.start()?;
        let is_first = |id: ParamId| first.binary_search(&id).is_ok();
        if self.stale {
            let recipe = &self.recipe;
            self.buckets = self.sorted(|id, parameter| {
                recipe.is_complete(parameter, self.states.state(id)) && !is_first(id)
            })?;
            // State that lacks a field is completed at the parameter's next gradient: until then every step checks.
            let mut live = self.states.live();
            let incomplete = live.any(|(_, parameter, state)| !recipe.is_complete(parameter, Some(state)));
            self.stale = incomplete || !first.is_empty();
        }
        let requests = match &measuring {
            Some(measuring) => self.states.requests(measuring.request)?,
            None => Vec::new(),
        };
        for bucket in &self.buckets {
            let updated = self.update_bucket(bucket, false, &requests, &mut measuring)?;
            if K::COUNTS_UPDATES {
                self.states.count(&bucket.members, &updated);
            }
        }
        if !first.is_empty() {
            for bucket in &self.sorted(|id, _| is_first(id))? {
                let updated = self.update_bucket(bucket, true, &requests, &mut measuring)?;
                if K::COUNTS_UPDATES {
                    self.states.count(&bucket.members, &updated);
                }
            }
        }
        match measuring {
            Some(measuring) if measuring.requested().rates => self.report_rates(measuring),
            _ => Ok(()),
        }
    }

    /// Updates the members of a bucket; returns which had a gradient.
    fn update_bucket(
        &self,
        bucket: &Bucket,
        first: bool,
        requests: &[u8],
        measuring: &mut Option<Measuring<'_>>,
    ) -> Result<Vec<bool>> {
        let scale = measuring.as_ref().map_or(GradScale::Factor(1.0), |measuring| measuring.request.scale);
        let call = self.call(bucket, first, &scale)?;
        let requests =
            self.states.requests_of(&bucket.members, requests, |id| self.has_moved(bucket, id, first));
        let measured = self.states.measured(&bucket.members, &requests);
        let moments = &bucket.fields[0];
        if bucket.kernel == Kernel::Cpu {
            let updated = self.recipe.family.run(&call, Route::Cpu { requests: &requests })?;
            if let Some(measuring) = measuring {
                measuring.add_kernel_sums(&measured, &requests, &updated, !moments.is_empty());
            }
            return Ok(updated.defined);
        }
        let mut inputs = Vec::new();
        if let Some(measuring) = measuring {
            let parameters: Vec<_> =
                measured.iter().map(|(id, index)| (*id, &bucket.parameters[*index])).collect();
            let decay = if self.recipe.family.has_coupled_decay() { call.update.weight_decay } else { 0.0 };
            let needs_input = measuring.requested().updates && self.recipe.family.needs_moment_input(&call);
            inputs = measuring.before(&parameters, scale, decay, needs_input)?;
            self.add_progress(bucket, &call, &measured, &requests, measuring.stats)?;
        }
        let updated = match bucket.kernel {
            Kernel::Cpu | Kernel::Libtorch => self.recipe.family.run(&call, Route::Libtorch)?.defined,
            Kernel::Reference => self.reference(bucket, &call, scale)?,
        };
        if let Some(measuring) = measuring {
            let measured: Vec<(ParamId, usize)> =
                measured.into_iter().filter(|(_, index)| updated[*index]).collect();
            let moments = measured.iter().filter_map(|(id, index)| Some((*id, moments.get(*index)?)));
            let moments: Vec<_> = moments.collect();
            measuring.after(&moments, || self.update_directions(bucket, &call, &measured, inputs))?;
        }
        Ok(updated)
    }

    /// Builds the call of a kernel for a bucket.
    fn call<'a>(&'a self, bucket: &'a Bucket, first: bool, scale: &'a GradScale<'_>) -> Result<Call<'a>> {
        let group = self.recipe.groups.of(bucket.group);
        let (factor, divisor) = scale.for_kernel(bucket.kernel == Kernel::Cpu)?;
        let update = UpdateCall {
            parameters: &bucket.parameters,
            masters: &bucket.masters,
            lr: group.lr * bucket.factor,
            weight_decay: group.weight_decay,
            factor,
            divisor,
        };
        Ok(Call { update, fields: &bucket.fields, momentum: group.momentum, first })
    }

    /// Returns whether the state of a member of a bucket has the direction of an update before.
    fn has_moved(&self, bucket: &Bucket, id: ParamId, first: bool) -> bool {
        let counted = |id| self.states.state(id).is_some_and(|state| state.steps > 0);
        !first && !bucket.fields[0].is_empty() && (!K::COUNTS_UPDATES || counted(id))
    }

    /// Adds the progress of the members of a bucket that request it, in tensor operations.
    fn add_progress(
        &self,
        bucket: &Bucket,
        call: &Call<'_>,
        measured: &[(ParamId, usize)],
        requests: &[u8],
        stats: &mut GradStats,
    ) -> Result<()> {
        let requested = measured.iter().filter(|(_, index)| States::requests_progress(requests[*index]));
        let defined = requested.filter(|(_, index)| bucket.parameters[*index].grad().defined());
        let one = |(id, index): &(ParamId, usize)| {
            let steps = self.steps(bucket, *index).saturating_sub(1);
            let value =
                self.recipe.family.update_direction(call, *index, steps, None).and_then(|direction| {
                    let Some(direction) = direction else { return Ok(None) };
                    let gradient = scaled(&bucket.parameters[*index].grad(), GradScale::Factor(1.0))?;
                    gradient.f_mul(&direction)?.f_sum(Kind::Double)?.f_mul_scalar(call.update.lr).map(Some)
                });
            let value =
                value.map_err(|error| Error::torch(format!("measuring {}'s progress", K::TYPE), &error))?;
            Ok(value.map(|value| (*id, value)))
        };
        let values = defined.filter_map(|found| one(found).transpose()).collect::<Result<Vec<_>>>()?;
        let values: Vec<(ParamId, &Tensor)> = values.iter().map(|(id, value)| (*id, value)).collect();
        stats.add_progress(&values)
    }

    /// Returns the number of the update that is applied now, of a member of a bucket.
    fn steps(&self, bucket: &Bucket, index: usize) -> u64 {
        self.states.state(bucket.members[index]).map_or(1, |state| state.steps + 1)
    }

    /// Updates the members of a bucket in tensor operations; returns which had a gradient.
    fn reference(&self, bucket: &Bucket, call: &Call<'_>, scale: GradScale<'_>) -> Result<Vec<bool>> {
        let one = |(index, parameter): (usize, &Tensor)| {
            let defined = parameter.grad().defined();
            if defined {
                let steps = self.steps(bucket, index);
                self.recipe.family.reference(call, index, scale, steps).map_err(|error| {
                    Error::torch(format!("a step of {} in tensor operations", K::TYPE), &error)
                })?;
            }
            Ok(defined)
        };
        bucket.parameters.iter().enumerate().map(one).collect()
    }

    /// Computes ΔW ÷ lr of the measured members of a bucket. The inputs of the moments are those of the same parameters in
    /// the same order, or none.
    fn update_directions(
        &self,
        bucket: &Bucket,
        call: &Call<'_>,
        measured: &[(ParamId, usize)],
        inputs: Vec<(ParamId, Tensor)>,
    ) -> Result<Vec<(ParamId, Tensor)>> {
        let mut inputs = inputs.into_iter();
        let mut one = |(id, index): &(ParamId, usize)| {
            let input = inputs.next().filter(|(other, _)| other == id).map(|(_, input)| input);
            let direction =
                self.recipe.family.update_direction(call, *index, self.steps(bucket, *index), input);
            let direction = direction
                .map_err(|error| Error::torch(format!("computing the last update of {}", K::TYPE), &error))?;
            Ok(direction.map(|direction| (*id, direction)))
        };
        measured.iter().filter_map(|found| one(found).transpose()).collect()
    }

    /// Reports the rates of the moments of the measured parameters.
    fn report_rates(&self, measuring: Measuring<'_>) -> Result<()> {
        let measured = measuring.request.measured;
        for (caller, own) in measured.iter().zip(self.states.own(measured)?) {
            let has_moment = self.states.state(own).is_some_and(|state| state.fields[0].is_some());
            let parameter = self.parameters().get(own).filter(|_| has_moment);
            let rates =
                parameter.map(|parameter| self.recipe.family.rates(self.recipe.group_of(parameter).momentum));
            measuring.stats.set_rates(*caller, rates);
        }
        Ok(())
    }
}

impl<K: KernelFamily> InnerOptimizer for Fused<K> {
    fn name(&self) -> &'static str {
        self.recipe.family.name()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            moments: self.recipe.family.has_moments(self.recipe.groups.all()),
            adjustable: true,
            coupled_decay: self.recipe.family.has_coupled_decay(),
        }
    }

    fn bind(&mut self, parameters: &Parameters) -> Result<()> {
        self.states.bind(parameters)
    }

    fn zero_grad(&mut self) -> Result<()> {
        self.states.zero_grad()
    }

    fn step(&mut self) -> Result<()> {
        self.update(None)
    }

    fn step_measured(&mut self, request: &StepRequest<'_>, stats: &mut GradStats) -> Result<()> {
        self.update(Some(Measuring { request, stats }))
    }

    fn measure_progress(&mut self, measured: &[ParamId], stats: &mut GradStats) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let own = self.states.own(measured)?;
        let recipe = &self.recipe;
        let buckets = self.sorted(|id, parameter| {
            let state = self.states.state(id);
            own.contains(&id) && state.is_some() && recipe.is_complete(parameter, state)
        })?;
        let requests = self.states.progress_requests(&own);
        for bucket in &buckets {
            let scale = GradScale::Factor(1.0);
            let call = self.call(bucket, false, &scale)?;
            let requests =
                self.states.requests_of(&bucket.members, &requests, |id| self.has_moved(bucket, id, false));
            let measured = self.states.measured(&bucket.members, &requests);
            self.add_progress(bucket, &call, &measured, &requests, stats)?;
        }
        Ok(())
    }

    fn release(&mut self, parameters: &[ParamId]) -> Result<()> {
        self.states.release(parameters)?;
        // The buckets have handles to the state that is to be freed.
        self.buckets.clear();
        self.stale = true;
        Ok(())
    }

    fn readmit(&mut self, parameters: &[ParamId]) -> Result<()> {
        self.states.readmit(parameters)?;
        self.stale = true;
        Ok(())
    }

    fn set_lr_factors(&mut self, factors: &[(ParamId, f64)]) -> Result<()> {
        self.stale |= self.states.set_factors(factors)?;
        Ok(())
    }

    fn set(&mut self, group: Option<usize>, hyperparameter: Hyperparameter, value: f64) -> Result<()> {
        match hyperparameter {
            Hyperparameter::LearningRate => Range::NOT_NEGATIVE.check("lr", value)?,
            Hyperparameter::Momentum => self.recipe.family.momentum_range().check(K::MOMENTUM, value)?,
            Hyperparameter::WeightDecay => Range::NOT_NEGATIVE.check("weight_decay", value)?,
        }
        for group in self.recipe.groups.select(group)? {
            // A momentum that becomes 0, or is 0 no more, changes which state is needed.
            let momentum = hyperparameter == Hyperparameter::Momentum;
            self.stale |= momentum && (group.momentum == 0.0) != (value == 0.0);
            group.set(hyperparameter, value);
        }
        Ok(())
    }

    fn get(&self, group: usize, hyperparameter: Hyperparameter) -> Option<f64> {
        self.recipe.groups.get(group).map(|group| group.get(hyperparameter))
    }

    fn memory(&self) -> OptimizerMemory {
        let tensors = || self.states.live().flat_map(|(_, _, state)| state.fields.iter().flatten());
        let masters = self.states.live().filter_map(|(_, _, state)| state.master.as_ref());
        OptimizerMemory {
            state: Some(tensors().map(byte_len).sum()),
            master_weights: masters.map(byte_len).sum(),
        }
    }
}

impl<K: KernelFamily> fmt::Debug for Fused<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(K::TYPE)
            .field("config", &self.recipe.family)
            .field("groups", &self.recipe.groups)
            .field("parameters", &self.parameters().len())
            .field("with_state", &self.states.live().count())
            .finish()
    }
}
