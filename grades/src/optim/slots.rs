//! Which parameters an optimizer still updates, and the state of each.

use std::collections::{BTreeMap, HashMap};

use tch::Tensor;

use super::batches::Batch;
use super::stateful::ParameterState;
use super::tch_optimizer::unknown_parameter;
use super::{StepRequest, Wanted};
use crate::Result;
use crate::parameters::{ParamId, Parameter, Parameters};
use crate::torch::{gradients, identity};

enum Slot<S> {
    /// No gradient has been seen, so there is no state.
    Waiting,
    Live(S),
    /// Not updated any more.
    Released,
}

/// Slots and factors that were read and not put in yet.
pub(super) struct Loaded<S> {
    slots: Vec<Slot<S>>,
    factors: Vec<f64>,
}

/// The parameters of an optimizer, each with its state.
pub(super) struct Slots<S> {
    parameters: Parameters,
    slots: Vec<Slot<S>>,
    /// The factor on each parameter's learning rate.
    factors: Vec<f64>,
    /// The own id of each id of the caller.
    bound: Vec<ParamId>,
    /// The caller's id of each own id, where it has one.
    callers: Vec<Option<ParamId>>,
}

/// Set in what is wanted of a parameter that is measured at all.
const MEASURED: u8 = 128;

impl<S> Slots<S> {
    /// The caller's ids are the optimizer's own until [`bind`](Self::bind) is called.
    pub(super) fn new(parameters: Parameters) -> Self {
        let slots = parameters.ids().map(|_| Slot::Waiting).collect();
        let factors = vec![1.0; parameters.len()];
        let bound = parameters.ids().collect();
        let callers = parameters.ids().map(Some).collect();
        Slots { parameters, slots, factors, bound, callers }
    }

    pub(super) fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    pub(super) fn bind(&mut self, callers: &Parameters) -> Result<()> {
        let own = self.parameters.iter().map(|(id, parameter)| Ok((identity(parameter.tensor())?, id)));
        let own = own.collect::<Result<HashMap<_, _>>>()?;
        self.bound = callers
            .iter()
            .map(|(_, parameter)| {
                let id = own.get(&identity(parameter.tensor())?).copied();
                id.ok_or_else(|| {
                    unknown_parameter(parameter.name(), "those of the VarStore it was built from")
                })
            })
            .collect::<Result<_>>()?;
        self.callers = vec![None; self.parameters.len()];
        for ((caller, _), own) in callers.iter().zip(&self.bound) {
            self.callers[own.index()] = Some(caller);
        }
        Ok(())
    }

    /// What is wanted of each own parameter, as bits of `csrc/update.h`; 0 for those that are not measured.
    pub(super) fn wants(&self, request: &StepRequest<'_>) -> Result<Vec<u8>> {
        if request.measured.is_empty() {
            return Ok(Vec::new());
        }
        let Wanted { gradients, averaged, moments, updates } = request.wanted;
        let bits = [gradients, averaged, moments, updates].into_iter().zip([1, 2, 4, 8]);
        let bits = bits.filter(|(wanted, _)| *wanted).fold(MEASURED, |all, (_, bit)| all | bit);
        let mut wants = vec![0; self.parameters.len()];
        for id in self.own(request.measured)? {
            wants[id.index()] = bits;
        }
        Ok(wants)
    }

    /// The members of a batch that are measured: the caller's id and the place in the batch.
    pub(super) fn measured(&self, batch: &Batch, want: &[u8]) -> Vec<(ParamId, usize)> {
        let members = batch.members.iter().enumerate().zip(want).filter(|(_, want)| **want != 0);
        members.filter_map(|((index, id), _)| Some((self.callers[id.index()]?, index))).collect()
    }

    /// Drops the state of parameters that the caller names by its ids, all or, on an error, none.
    pub(super) fn release(&mut self, ids: &[ParamId]) -> Result<()> {
        for id in self.own(ids)? {
            self.slots[id.index()] = Slot::Released;
        }
        Ok(())
    }

    /// Lets released parameters wait for a gradient again.
    pub(super) fn readmit(&mut self, ids: &[ParamId]) -> Result<()> {
        for id in self.own(ids)? {
            self.slots[id.index()] = Slot::Waiting;
            self.factors[id.index()] = 1.0;
        }
        Ok(())
    }

    /// Sets factors on learning rates, all or, on an error, none; true when one of them changed.
    pub(super) fn set_factors(&mut self, factors: &[(ParamId, f64)]) -> Result<bool> {
        let ids: Vec<ParamId> = factors.iter().map(|(id, _)| *id).collect();
        let mut changed = false;
        for (id, (_, factor)) in self.own(&ids)?.into_iter().zip(factors) {
            changed |= self.factors[id.index()] != *factor;
            self.factors[id.index()] = *factor;
        }
        Ok(changed)
    }

    /// The factor on a parameter's learning rate.
    pub(super) fn factor(&self, id: ParamId) -> f64 {
        self.factors[id.index()]
    }

    /// What is to be saved of each parameter; `describe` gives the steps and the tensors of a state.
    pub(super) fn save(
        &self,
        describe: impl Fn(&S) -> (u64, BTreeMap<String, Tensor>),
    ) -> BTreeMap<String, ParameterState> {
        let one = |(id, parameter): (ParamId, &Parameter)| {
            let slot = &self.slots[id.index()];
            let (steps, tensors) = match slot {
                Slot::Live(state) => describe(state),
                Slot::Waiting | Slot::Released => Default::default(),
            };
            let released = matches!(slot, Slot::Released);
            let factor = self.factors[id.index()];
            (parameter.name().to_owned(), ParameterState { released, factor, steps, tensors })
        };
        self.parameters.iter().map(one).collect()
    }

    /// The slots and factors that were saved; `make` gives a state from what was saved of it.
    pub(super) fn loaded(
        &self,
        saved: &BTreeMap<String, ParameterState>,
        make: impl Fn(&Parameter, &ParameterState) -> Result<S>,
    ) -> Result<Loaded<S>> {
        let one = |(id, parameter): (ParamId, &Parameter)| {
            let Some(saved) = saved.get(parameter.name()) else {
                return Ok((Slot::Waiting, self.factors[id.index()]));
            };
            let slot = match (saved.released, saved.tensors.is_empty()) {
                (true, _) => Slot::Released,
                (false, true) => Slot::Waiting,
                (false, false) => Slot::Live(make(parameter, saved)?),
            };
            Ok((slot, saved.factor))
        };
        let (slots, factors) =
            self.parameters.iter().map(one).collect::<Result<Vec<_>>>()?.into_iter().unzip();
        Ok(Loaded { slots, factors })
    }

    /// Takes these for its own.
    pub(super) fn put(&mut self, loaded: Loaded<S>) {
        self.slots = loaded.slots;
        self.factors = loaded.factors;
    }

    /// The own ids of ids of the caller.
    pub(super) fn own(&self, ids: &[ParamId]) -> Result<Vec<ParamId>> {
        let known = |id: &ParamId| {
            self.bound
                .get(id.index())
                .copied()
                .ok_or_else(|| unknown_parameter(&id.to_string(), &format!("ids below {}", self.bound.len())))
        };
        ids.iter().map(known).collect()
    }

    /// Makes the state of those parameters that wait, have a gradient now, and for which `wanted` holds; their ids
    /// come in order.
    pub(super) fn start(
        &mut self,
        wanted: impl Fn(&Parameter) -> bool,
        make: impl Fn(&Parameter) -> Result<S>,
    ) -> Result<Vec<ParamId>> {
        let waiting: Vec<(ParamId, &Parameter)> = self
            .parameters
            .iter()
            .filter(|(id, parameter)| matches!(self.slots[id.index()], Slot::Waiting) && wanted(parameter))
            .collect();
        if waiting.is_empty() {
            return Ok(Vec::new());
        }
        let tensors: Vec<&Tensor> = waiting.iter().map(|(_, parameter)| parameter.tensor()).collect();
        let defined = gradients::defined(&tensors)?;
        // All are made before the first is stored, so that an error leaves everything as it was.
        let started = waiting.into_iter().zip(defined).filter(|(_, defined)| *defined);
        let started: Vec<(ParamId, S)> =
            started.map(|((id, parameter), _)| Ok((id, make(parameter)?))).collect::<Result<_>>()?;
        let store = |(id, state): (ParamId, S)| {
            self.slots[id.index()] = Slot::Live(state);
            id
        };
        Ok(started.into_iter().map(store).collect())
    }

    /// The parameters that are not released.
    pub(super) fn kept(&self) -> impl Iterator<Item = (ParamId, &Parameter)> {
        self.parameters.iter().filter(|(id, _)| !matches!(self.slots[id.index()], Slot::Released))
    }

    /// The parameters that have state.
    pub(super) fn live(&self) -> impl Iterator<Item = (ParamId, &Parameter, &S)> {
        self.parameters.iter().filter_map(|(id, parameter)| Some((id, parameter, self.state(id)?)))
    }

    pub(super) fn state(&self, id: ParamId) -> Option<&S> {
        match &self.slots[id.index()] {
            Slot::Live(state) => Some(state),
            Slot::Waiting | Slot::Released => None,
        }
    }

    pub(super) fn state_mut(&mut self, id: ParamId) -> Option<&mut S> {
        match &mut self.slots[id.index()] {
            Slot::Live(state) => Some(state),
            Slot::Waiting | Slot::Released => None,
        }
    }

    /// Makes all gradients undefined, those of released parameters too.
    pub(super) fn zero_grad(&self) -> Result<()> {
        let tensors: Vec<&Tensor> = self.parameters.iter().map(|(_, parameter)| parameter.tensor()).collect();
        gradients::undefine(&tensors)
    }
}

/// The bytes that a tensor's elements take.
pub(super) fn bytes(tensor: &Tensor) -> u64 {
    (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64
}
