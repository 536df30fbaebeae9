//! Optimizers whose state can be saved and loaded.

use std::collections::BTreeMap;

use tch::Tensor;
use toml::Table;

use super::InnerOptimizer;
use crate::error::{Error, Result};
use crate::parameters::Parameters;

/// An optimizer whose state can be saved and loaded, so that a resumed run continues bit for bit.
///
/// tch's own optimizers are not among them:
///
/// ```compile_fail,E0277
/// use grades::FreezingOptimizer;
/// use tch::nn;
///
/// fn save(optimizer: &mut FreezingOptimizer<nn::Optimizer>) -> grades::Result<()> {
///     optimizer.save("optimizer.safetensors".as_ref())
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "the state of `{Self}` can be neither saved nor loaded",
    label = "does not implement `StatefulOptimizer`",
    note = "tch's own optimizers hide their state, so there is nothing to save; build the optimizer with \
            `grades::optim::AdamConfig` or `grades::optim::SgdConfig`",
    note = "an optimizer that is chosen at run time is a `Box<dyn StatefulOptimizer>`"
)]
pub trait StatefulOptimizer: InnerOptimizer {
    /// Returns everything that the next step depends on, except the parameters and their gradients. The tensors are
    /// handles to the optimizer's own.
    fn save_state(&self) -> OptimizerState;

    /// Restores what [`save_state`](Self::save_state) returned. On an error nothing is changed.
    ///
    /// The tensors are copied, to the parameters' devices.
    ///
    /// # Errors
    ///
    /// [`Error::State`](crate::Error::State) that names what differs: the optimizer, a hyperparameter that cannot be set,
    /// a parameter or a tensor that is missing, unknown, or of another shape or dtype.
    fn load_state(&mut self, state: &OptimizerState) -> Result<()>;
}

/// The state of an optimizer.
#[derive(Debug, Default)]
pub struct OptimizerState {
    /// The optimizer's name, as [`InnerOptimizer::name`] gives it.
    pub name: String,
    /// Hyperparameters, those of groups included.
    pub hyperparameters: Table,
    /// By name of the parameter.
    pub parameters: BTreeMap<String, ParameterState>,
}

/// The state of one parameter.
#[derive(Debug)]
pub struct ParameterState {
    /// It is not updated any more.
    pub released: bool,
    /// The factor on its learning rate.
    pub factor: f64,
    /// The number of its updates; 0 where that is not counted.
    pub steps: u64,
    /// Tensors by PyTorch's names; none before the first gradient.
    pub tensors: BTreeMap<String, Tensor>,
}

impl OptimizerState {
    /// Checks that the state belongs to this optimizer, with these settings and parameters; `groups` may differ.
    pub(super) fn check(&self, name: &str, settings: &Table, parameters: &Parameters) -> Result<()> {
        if self.name != name {
            return Err(state_error(format!("it is that of \"{}\", the optimizer is \"{name}\"", self.name)));
        }
        let keys = settings.keys().chain(self.hyperparameters.keys()).filter(|key| *key != GROUPS);
        for key in keys {
            let (saved, here) = (self.hyperparameters.get(key), settings.get(key));
            if saved != here {
                let text =
                    |value: Option<&toml::Value>| value.map_or("not there".to_owned(), ToString::to_string);
                return Err(state_error(format!(
                    "{key} was {} when it was saved and is {} here",
                    text(saved),
                    text(here)
                )));
            }
        }
        let known =
            |name: &String| parameters.by_name(name).is_some_and(|parameter| parameter.name() == name);
        if let Some(unknown) = self.parameters.keys().find(|name| !known(name)) {
            return Err(state_error(format!("parameter \"{unknown}\" is not among the optimizer's")));
        }
        let missing =
            parameters.iter().find(|(_, parameter)| !self.parameters.contains_key(parameter.name()));
        match missing {
            Some((_, parameter)) => {
                Err(state_error(format!("parameter \"{}\" is missing", parameter.name())))
            }
            None => Ok(()),
        }
    }

    /// Returns the groups' hyperparameters, one table each.
    pub(super) fn groups(&self, count: usize) -> Result<Vec<&Table>> {
        let groups = self.hyperparameters.get(GROUPS).and_then(toml::Value::as_array);
        let groups: Vec<&Table> = groups.into_iter().flatten().filter_map(toml::Value::as_table).collect();
        if groups.len() == count {
            return Ok(groups);
        }
        Err(state_error(format!("it has {} groups of parameters, the optimizer has {count}", groups.len())))
    }
}

/// The key of the groups' hyperparameters.
pub(super) const GROUPS: &str = "groups";

/// Reads a number of a group.
pub(super) fn number(table: &Table, key: &str) -> Result<f64> {
    let found = table.get(key).and_then(toml::Value::as_float);
    found.ok_or_else(|| state_error(format!("the number \"{key}\" of a group is missing")))
}

/// Copies a saved tensor to the layout and device of `like`; shape and dtype must agree.
pub(super) fn copied(parameter: &str, field: &str, saved: &Tensor, like: &Tensor) -> Result<Tensor> {
    if saved.size() != like.size() || saved.kind() != like.kind() {
        return Err(state_error(format!(
            "\"{field}\" of parameter \"{parameter}\" is {:?} {:?}, expected {:?} {:?}",
            saved.kind(),
            saved.size(),
            like.kind(),
            like.size()
        )));
    }
    let _no_grad = tch::no_grad_guard();
    let copy = || {
        let mut copy = like.f_empty_like()?;
        copy.f_copy_(saved)?;
        Ok(copy)
    };
    copy().map_err(|error| Error::torch(format!("loading \"{field}\" of parameter \"{parameter}\""), &error))
}

/// Checks that a parameter has the expected tensors and no others.
pub(super) fn check_fields(parameter: &str, state: &ParameterState, expected: &[&str]) -> Result<()> {
    let found: Vec<&str> = state.tensors.keys().map(String::as_str).collect();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    if found == expected {
        return Ok(());
    }
    Err(state_error(format!(
        "parameter \"{parameter}\" has the tensors [{}], expected [{}]",
        found.join(", "),
        expected.join(", ")
    )))
}

pub(super) fn state_error(reason: String) -> Error {
    Error::State { what: "the optimizer".to_owned(), reason }
}
