//! SGD's state, taken out and put back.

use toml::{Table, Value};

use super::{Sgd, State};
use crate::error::{Error, Result};
use crate::optim::InnerOptimizer;
use crate::optim::stateful::{
    GROUPS, OptimizerState, ParameterState, StatefulOptimizer, check_fields, copied, number,
};
use crate::parameters::Parameter;

impl Sgd {
    fn settings(&self) -> Table {
        let group = |group: &super::Group| {
            Value::Table(Table::from_iter([
                ("lr".to_owned(), Value::Float(group.lr)),
                ("momentum".to_owned(), Value::Float(group.momentum)),
                ("weight_decay".to_owned(), Value::Float(group.weight_decay)),
            ]))
        };
        Table::from_iter([
            ("dampening".to_owned(), Value::Float(self.config.dampening)),
            ("nesterov".to_owned(), Value::Boolean(self.config.nesterov)),
            ("half_precision".to_owned(), Value::String(self.config.half_precision.name().to_owned())),
            (GROUPS.to_owned(), Value::Array(self.groups.all().iter().map(group).collect())),
        ])
    }

    /// The state of a parameter from what was saved of it: a buffer, a master copy, or both.
    fn loaded(&self, parameter: &Parameter, saved: &ParameterState) -> Result<State> {
        let name = parameter.name();
        let half = self.config.half_precision;
        let buffer = saved.tensors.get("momentum_buffer");
        let fields = [("momentum_buffer", buffer.is_some()), ("master", half.has_master(parameter))];
        let fields: Vec<&str> =
            fields.into_iter().filter(|(_, there)| *there).map(|(field, _)| field).collect();
        check_fields(name, saved, &fields)?;
        let like =
            || half.zeros(parameter.tensor()).map_err(|error| Error::torch("making SGD's buffer", &error));
        let buffer = buffer.map(|saved| copied(name, "momentum_buffer", saved, &like()?)).transpose()?;
        let master = match (half.master(parameter)?, saved.tensors.get("master")) {
            (Some(like), Some(saved)) => Some(copied(name, "master", saved, &like)?),
            _ => None,
        };
        Ok(State { buffer, master })
    }
}

impl StatefulOptimizer for Sgd {
    fn save_state(&self) -> OptimizerState {
        let describe = |state: &State| {
            let buffer = state.buffer.iter().map(|buffer| ("momentum_buffer", buffer));
            let fields = buffer.chain(state.master.iter().map(|master| ("master", master)));
            (0, fields.map(|(field, tensor)| (field.to_owned(), tensor.shallow_clone())).collect())
        };
        OptimizerState {
            name: self.name().to_owned(),
            hyperparameters: self.settings(),
            parameters: self.slots.save(describe),
        }
    }

    fn load_state(&mut self, state: &OptimizerState) -> Result<()> {
        state.check(self.name(), &self.settings(), self.parameters())?;
        let mut groups = self.groups.all().to_vec();
        for (group, saved) in groups.iter_mut().zip(state.groups(self.groups.all().len())?) {
            group.lr = number(saved, "lr")?;
            group.momentum = number(saved, "momentum")?;
            group.weight_decay = number(saved, "weight_decay")?;
        }
        let loaded =
            self.slots.loaded(&state.parameters, |parameter, saved| self.loaded(parameter, saved))?;
        self.slots.put(loaded);
        self.groups.all_mut().clone_from_slice(&groups);
        self.batches.clear();
        self.stale = true;
        Ok(())
    }
}
