//! The state of each parameter of an optimizer.

use std::collections::{BTreeMap, HashMap};

use tch::Tensor;

use crate::error::Result;
use crate::optim::inner::unknown_parameter;
use crate::optim::stateful::ParameterState;
use crate::optim::{StatsRequest, StepRequest};
use crate::parameters::{ParamId, Parameter, Parameters};
use crate::torch::{gradients, identity};

/// The state of one parameter.
pub(super) struct State {
    /// One per field of the family.
    pub(super) fields: Vec<Option<Tensor>>,
    /// The weights in f32, of which the parameter is a rounded copy.
    pub(super) master: Option<Tensor>,
    /// The number of updates, where the family counts them.
    pub(super) steps: u64,
}

impl State {
    /// Returns the tensors with their names.
    pub(super) fn tensors(
        &self,
        names: &'static [&'static str],
    ) -> impl Iterator<Item = (&'static str, &Tensor)> {
        let fields = names.iter().zip(&self.fields);
        let fields = fields.filter_map(|(name, tensor)| Some((*name, tensor.as_ref()?)));
        fields.chain(self.master.iter().map(|master| (MASTER, master)))
    }
}

/// The name of a master copy.
pub(super) const MASTER: &str = "master";

enum Slot {
    /// No gradient so far, so there is no state.
    Waiting,
    Live(State),
    /// Not updated any more.
    Released,
}

/// Slots and factors that were loaded and do not apply yet.
pub(super) struct Loaded {
    slots: Vec<Slot>,
    factors: Vec<f64>,
}

/// The parameters of an optimizer, each with its state.
pub(super) struct States {
    parameters: Parameters,
    slots: Vec<Slot>,
    /// The factor on each parameter's learning rate.
    factors: Vec<f64>,
    /// The own id of each id of the caller.
    bound: Vec<ParamId>,
    /// The caller's id of each own id, where it has one.
    callers: Vec<Option<ParamId>>,
}

/// The bits of `csrc/update.h` that request statistics of a parameter.
mod request_bits {
    pub(super) const GRADIENTS: u8 = 1;
    pub(super) const MOMENT_INPUT: u8 = 2;
    pub(super) const MOMENTS: u8 = 4;
    pub(super) const UPDATES: u8 = 8;
    pub(super) const PROGRESS: u8 = 16;
    /// Set for every measured parameter; the kernels ignore it.
    pub(super) const MEASURED: u8 = 128;
}

impl States {
    /// Creates empty state; the caller's ids are the optimizer's own until [`bind`](Self::bind) is called.
    pub(super) fn new(parameters: Parameters) -> Self {
        let slots = parameters.ids().map(|_| Slot::Waiting).collect();
        let factors = vec![1.0; parameters.len()];
        let bound = parameters.ids().collect();
        let callers = parameters.ids().map(Some).collect();
        States { parameters, slots, factors, bound, callers }
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

    /// Returns the requests of each own parameter, as bits of `csrc/update.h`; 0 for those that are not measured.
    pub(super) fn requests(&self, request: &StepRequest<'_>) -> Result<Vec<u8>> {
        if request.measured.is_empty() {
            return Ok(Vec::new());
        }
        let StatsRequest { gradients, moment_input, moments, updates, progress, rates: _ } = request.stats;
        let bits = [
            (gradients, request_bits::GRADIENTS),
            (moment_input, request_bits::MOMENT_INPUT),
            (moments, request_bits::MOMENTS),
            (updates, request_bits::UPDATES),
            (progress, request_bits::PROGRESS),
        ];
        let bits = bits.into_iter().filter(|(requested, _)| *requested);
        let bits = bits.fold(request_bits::MEASURED, |all, (_, bit)| all | bit);
        let mut requests = vec![0; self.parameters.len()];
        for id in self.own(request.measured)? {
            requests[id.index()] = bits;
        }
        Ok(requests)
    }

    /// Returns the requests of own parameters whose progress alone is measured; 0 for all others.
    pub(super) fn progress_requests(&self, own: &[ParamId]) -> Vec<u8> {
        let mut requests = vec![0; self.parameters.len()];
        for id in own {
            requests[id.index()] = request_bits::PROGRESS;
        }
        requests
    }

    /// Returns the requests of the members of a bucket; those for which `moved` does not hold have no progress. Empty where
    /// nothing is measured.
    pub(super) fn requests_of(
        &self,
        members: &[ParamId],
        requests: &[u8],
        moved: impl Fn(ParamId) -> bool,
    ) -> Vec<u8> {
        if requests.is_empty() {
            return Vec::new();
        }
        let one = |id: &ParamId| {
            let bits = requests[id.index()];
            if bits & request_bits::PROGRESS == 0 || moved(*id) {
                bits
            } else {
                bits & !request_bits::PROGRESS
            }
        };
        members.iter().map(one).collect()
    }

    /// Returns the members that are measured: the caller's id and the index among them.
    pub(super) fn measured(&self, members: &[ParamId], requests: &[u8]) -> Vec<(ParamId, usize)> {
        let members = members.iter().enumerate().zip(requests).filter(|(_, bits)| **bits != 0);
        members.filter_map(|((index, id), _)| Some((self.callers[id.index()]?, index))).collect()
    }

    /// Returns whether the progress of a parameter is requested.
    pub(super) fn requests_progress(bits: u8) -> bool {
        bits & request_bits::PROGRESS != 0
    }

    /// Drops the state of parameters, given by the caller's ids; on an error of none.
    pub(super) fn release(&mut self, ids: &[ParamId]) -> Result<()> {
        for id in self.own(ids)? {
            self.slots[id.index()] = Slot::Released;
        }
        Ok(())
    }

    /// Makes released parameters wait for a gradient again.
    pub(super) fn readmit(&mut self, ids: &[ParamId]) -> Result<()> {
        for id in self.own(ids)? {
            self.slots[id.index()] = Slot::Waiting;
            self.factors[id.index()] = 1.0;
        }
        Ok(())
    }

    /// Sets factors on learning rates, on an error none; returns whether one of them changed.
    pub(super) fn set_factors(&mut self, factors: &[(ParamId, f64)]) -> Result<bool> {
        let ids: Vec<ParamId> = factors.iter().map(|(id, _)| *id).collect();
        let mut changed = false;
        for (id, (_, factor)) in self.own(&ids)?.into_iter().zip(factors) {
            changed |= self.factors[id.index()] != *factor;
            self.factors[id.index()] = *factor;
        }
        Ok(changed)
    }

    /// Returns the factor on a parameter's learning rate.
    pub(super) fn factor(&self, id: ParamId) -> f64 {
        self.factors[id.index()]
    }

    /// Returns the state of all parameters, to be saved.
    pub(super) fn save(&self, names: &'static [&'static str]) -> BTreeMap<String, ParameterState> {
        let one = |(id, parameter): (ParamId, &Parameter)| {
            let slot = &self.slots[id.index()];
            let (steps, tensors) = match slot {
                Slot::Live(state) => {
                    let tensors = state.tensors(names);
                    let tensors = tensors.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()));
                    (state.steps, tensors.collect())
                }
                Slot::Waiting | Slot::Released => Default::default(),
            };
            let released = matches!(slot, Slot::Released);
            let factor = self.factors[id.index()];
            (parameter.name().to_owned(), ParameterState { released, factor, steps, tensors })
        };
        self.parameters.iter().map(one).collect()
    }

    /// Builds slots and factors from saved state; `make` builds the state of one parameter.
    pub(super) fn load(
        &self,
        saved: &BTreeMap<String, ParameterState>,
        make: impl Fn(&Parameter, &ParameterState) -> Result<State>,
    ) -> Result<Loaded> {
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

    /// Replaces slots and factors by loaded ones.
    pub(super) fn replace(&mut self, loaded: Loaded) {
        self.slots = loaded.slots;
        self.factors = loaded.factors;
    }

    /// Returns the own ids of ids of the caller.
    pub(super) fn own(&self, ids: &[ParamId]) -> Result<Vec<ParamId>> {
        let known = |id: &ParamId| {
            self.bound
                .get(id.index())
                .copied()
                .ok_or_else(|| unknown_parameter(&id.to_string(), &format!("ids below {}", self.bound.len())))
        };
        ids.iter().map(known).collect()
    }

    /// Makes the state of waiting parameters that have a gradient now and for which `needs` holds; returns their ids, in
    /// order.
    pub(super) fn start(
        &mut self,
        needs: impl Fn(&Parameter) -> bool,
        make: impl Fn(&Parameter) -> Result<State>,
    ) -> Result<Vec<ParamId>> {
        let waiting: Vec<(ParamId, &Parameter)> = self
            .parameters
            .iter()
            .filter(|(id, parameter)| matches!(self.slots[id.index()], Slot::Waiting) && needs(parameter))
            .collect();
        if waiting.is_empty() {
            return Ok(Vec::new());
        }
        let tensors: Vec<&Tensor> = waiting.iter().map(|(_, parameter)| parameter.tensor()).collect();
        let defined = gradients::defined(&tensors)?;
        // All are made before the first is stored, so that an error changes nothing.
        let started = waiting.into_iter().zip(defined).filter(|(_, defined)| *defined);
        let started: Vec<(ParamId, State)> =
            started.map(|((id, parameter), _)| Ok((id, make(parameter)?))).collect::<Result<_>>()?;
        let store = |(id, state): (ParamId, State)| {
            self.slots[id.index()] = Slot::Live(state);
            id
        };
        Ok(started.into_iter().map(store).collect())
    }

    /// Adds the fields that `missing` finds to the state of parameters that have a gradient now; returns the ids of the
    /// parameters whose state changed, in order.
    pub(super) fn complete(
        &mut self,
        missing: impl Fn(&Parameter, &State) -> Vec<usize>,
        make: impl Fn(&Parameter, usize) -> Result<Tensor>,
    ) -> Result<Vec<ParamId>> {
        let incomplete = self.live().map(|(id, parameter, state)| (id, parameter, missing(parameter, state)));
        let incomplete: Vec<_> = incomplete.filter(|(_, _, fields)| !fields.is_empty()).collect();
        let tensors: Vec<&Tensor> = incomplete.iter().map(|(_, parameter, _)| parameter.tensor()).collect();
        let ready = incomplete.iter().zip(gradients::defined(&tensors)?).filter(|(_, defined)| *defined);
        // All are made before the first is stored, so that an error changes nothing.
        let made = ready.map(|((id, parameter, fields), _)| {
            let tensors = fields.iter().map(|field| Ok((*field, make(parameter, *field)?)));
            Ok((*id, tensors.collect::<Result<Vec<_>>>()?))
        });
        let made = made.collect::<Result<Vec<(ParamId, Vec<(usize, Tensor)>)>>>()?;
        let ids = made.iter().map(|(id, _)| *id).collect();
        for (id, tensors) in made {
            let Slot::Live(state) = &mut self.slots[id.index()] else { continue };
            for (field, tensor) in tensors {
                state.fields[field] = Some(tensor);
            }
        }
        Ok(ids)
    }

    /// Counts an update of the members of a bucket that were updated.
    pub(super) fn count(&mut self, members: &[ParamId], updated: &[bool]) {
        for (id, _) in members.iter().zip(updated).filter(|(_, updated)| **updated) {
            if let Slot::Live(state) = &mut self.slots[id.index()] {
                state.steps += 1;
            }
        }
    }

    /// Returns the parameters that are not released.
    pub(super) fn kept(&self) -> impl Iterator<Item = (ParamId, &Parameter)> {
        self.parameters.iter().filter(|(id, _)| !matches!(self.slots[id.index()], Slot::Released))
    }

    /// Returns the parameters that have state.
    pub(super) fn live(&self) -> impl Iterator<Item = (ParamId, &Parameter, &State)> {
        self.parameters.iter().filter_map(|(id, parameter)| Some((id, parameter, self.state(id)?)))
    }

    pub(super) fn state(&self, id: ParamId) -> Option<&State> {
        match &self.slots[id.index()] {
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
