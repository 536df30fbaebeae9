//! The state that a parameter needs, and how it is made.

use tch::Tensor;
use toml::{Table, Value};

use super::KernelFamily;
use super::state::{MASTER, State};
use crate::error::{Error, Result};
use crate::optim::groups::{Group, Groups};
use crate::optim::stateful::{GROUPS, ParameterState, check_fields, copied};
use crate::parameters::Parameter;

/// A family of kernels under the hyperparameters of each group.
pub(super) struct Recipe<K> {
    pub(super) family: K,
    pub(super) groups: Groups,
}

impl<K: KernelFamily> Recipe<K> {
    pub(super) fn group_of(&self, parameter: &Parameter) -> &Group {
        self.groups.of(parameter.group())
    }

    /// Returns whether a parameter has state from its first gradient on.
    pub(super) fn needs_state(&self, parameter: &Parameter) -> bool {
        let group = self.group_of(parameter);
        (0..K::FIELDS.len()).any(|field| self.family.needs_field(field, group))
            || self.family.half_precision().has_master(parameter)
    }

    /// Returns the fields that a parameter's state needs and lacks.
    pub(super) fn missing(&self, parameter: &Parameter, state: &State) -> Vec<usize> {
        let group = self.group_of(parameter);
        let lacks = |field: &usize| self.family.needs_field(*field, group) && state.fields[*field].is_none();
        (0..K::FIELDS.len()).filter(lacks).collect()
    }

    /// Returns whether a parameter has the state that it needs.
    pub(super) fn is_complete(&self, parameter: &Parameter, state: Option<&State>) -> bool {
        match state {
            Some(state) => self.missing(parameter, state).is_empty(),
            None => !self.needs_state(parameter),
        }
    }

    /// Makes the state of a parameter that has its first gradient.
    pub(super) fn new_state(&self, parameter: &Parameter) -> Result<State> {
        let group = self.group_of(parameter);
        let make = |field: usize| match self.family.needs_field(field, group) {
            true => self.new_field(parameter, field).map(Some),
            false => Ok(None),
        };
        let master = self.family.half_precision().master(parameter)?;
        Ok(State { fields: (0..K::FIELDS.len()).map(make).collect::<Result<_>>()?, master, steps: 0 })
    }

    /// Makes a field of a parameter's state.
    pub(super) fn new_field(&self, parameter: &Parameter, field: usize) -> Result<Tensor> {
        let made = self.family.new_field(field, parameter.tensor());
        made.map_err(|error| {
            Error::torch(format!("making {}'s {} of {}", K::TYPE, K::FIELDS[field], parameter.name()), &error)
        })
    }

    /// Returns all hyperparameters, those of groups in a list of tables.
    pub(super) fn hyperparameters(&self) -> Table {
        let group = |group: &Group| {
            Value::Table(Table::from_iter([
                ("lr".to_owned(), Value::Float(group.lr)),
                (K::MOMENTUM.to_owned(), Value::Float(group.momentum)),
                ("weight_decay".to_owned(), Value::Float(group.weight_decay)),
            ]))
        };
        let groups = self.groups.all().iter().map(group).collect();
        let fixed = self.family.fixed().into_iter();
        let half_precision = self.family.half_precision().name().to_owned();
        let shared = [("half_precision", Value::String(half_precision)), (GROUPS, Value::Array(groups))];
        fixed.chain(shared).map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// Builds the state of a parameter from saved state.
    pub(super) fn saved_state(&self, parameter: &Parameter, saved: &ParameterState) -> Result<State> {
        let name = parameter.name();
        let family = &self.family;
        let like_master = family.half_precision().master(parameter)?;
        let is_expected =
            |(index, field): &(usize, &&str)| family.saves_field(*index, saved.tensors.contains_key(**field));
        let mut expected: Vec<&str> =
            K::FIELDS.iter().enumerate().filter(is_expected).map(|(_, field)| *field).collect();
        expected.extend(like_master.iter().map(|_| MASTER));
        check_fields(name, saved, &expected)?;
        let field = |(index, field): (usize, &&str)| {
            let Some(tensor) = saved.tensors.get(*field) else { return Ok(None) };
            // Shape, dtype and layout must be those of new state.
            copied(name, field, tensor, &self.new_field(parameter, index)?).map(Some)
        };
        let fields = K::FIELDS.iter().enumerate().map(field).collect::<Result<_>>()?;
        let master = match (like_master, saved.tensors.get(MASTER)) {
            (Some(like), Some(saved)) => Some(copied(name, MASTER, saved, &like)?),
            _ => None,
        };
        Ok(State { fields, master, steps: saved.steps })
    }
}
