//! Adam's state, taken out and put back.

use tch::Tensor;
use toml::{Table, Value};

use super::{Adam, Decay, State};
use crate::Result;
use crate::optim::InnerOptimizer;
use crate::optim::stateful::{
    GROUPS, OptimizerState, ParameterState, StatefulOptimizer, check_fields, copied, number,
};
use crate::parameters::Parameter;

impl Adam {
    fn settings(&self) -> Table {
        let group = |group: &super::Group| {
            Value::Table(Table::from_iter([
                ("lr".to_owned(), Value::Float(group.lr)),
                ("beta1".to_owned(), Value::Float(group.beta1)),
                ("weight_decay".to_owned(), Value::Float(group.weight_decay)),
            ]))
        };
        Table::from_iter([
            ("decoupled".to_owned(), Value::Boolean(self.config.decay == Decay::Decoupled)),
            ("beta2".to_owned(), Value::Float(self.config.beta2)),
            ("eps".to_owned(), Value::Float(self.config.eps)),
            ("amsgrad".to_owned(), Value::Boolean(self.config.amsgrad)),
            ("half_precision".to_owned(), Value::String(self.config.half_precision.name().to_owned())),
            (GROUPS.to_owned(), Value::Array(self.groups.all().iter().map(group).collect())),
        ])
    }

    /// The state of a parameter from what was saved of it.
    fn loaded(&self, parameter: &Parameter, saved: &ParameterState) -> Result<State> {
        let name = parameter.name();
        let master = self.config.half_precision.has_master(parameter);
        let optional = [("max_exp_avg_sq", self.config.amsgrad), ("master", master)];
        let optional = optional.into_iter().filter(|(_, there)| *there).map(|(field, _)| field);
        let fields: Vec<&str> = ["exp_avg", "exp_avg_sq", "step"].into_iter().chain(optional).collect();
        check_fields(name, saved, &fields)?;
        // What a new state would be, so that shapes, kinds and strides are those of one.
        let mut state = State::new(parameter, &self.config)?;
        let State { master, average, square, maximum, step, count } = &mut state;
        let named: [(&str, Option<&mut Tensor>); 5] = [
            ("exp_avg", Some(average)),
            ("exp_avg_sq", Some(square)),
            ("step", Some(step)),
            ("max_exp_avg_sq", maximum.as_mut()),
            ("master", master.as_mut()),
        ];
        for (field, tensor) in named {
            if let (Some(tensor), Some(saved)) = (tensor, saved.tensors.get(field)) {
                *tensor = copied(name, field, saved, tensor)?;
            }
        }
        *count = saved.steps;
        Ok(state)
    }
}

impl StatefulOptimizer for Adam {
    fn save_state(&self) -> OptimizerState {
        let describe = |state: &State| {
            let tensors = state.fields().map(|(field, tensor)| (field.to_owned(), tensor.shallow_clone()));
            (state.count, tensors.collect())
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
            group.beta1 = number(saved, "beta1")?;
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
