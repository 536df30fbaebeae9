//! The variables of a `VarStore`: adapters' are added and removed, the base's are frozen.

use std::collections::{BTreeMap, HashSet};

use grades::torch::{Identity, identity};
use tch::Tensor;
use tch::nn::VarStore;

use crate::error::{Error, Result};

/// A variable of the store that an adapter does not own.
pub(super) struct Variable {
    pub(super) tensor: Tensor,
    /// Whether it is registered as one that may train.
    pub(super) trainable: bool,
}

/// Returns all variables by name.
pub(super) fn variables(vs: &VarStore) -> Result<BTreeMap<String, Variable>> {
    let variables = vs.variables_.lock().map_err(|_| poisoned())?;
    let mut trainable = HashSet::new();
    for variable in &variables.trainable_variables {
        trainable.insert(identity(&variable.tensor)?);
    }
    let named = variables.named_variables.iter().map(|(name, tensor)| {
        let trainable = trainable.contains(&identity(tensor)?);
        Ok((name.clone(), Variable { tensor: tensor.shallow_clone(), trainable }))
    });
    named.collect()
}

/// Returns the name that a tensor of an adapter has in the store.
pub(super) fn name_of(module: &str, part: &str, adapter: &str) -> String {
    format!("{module}.{part}.{adapter}.weight")
}

/// Returns whether a variable is a tensor of some adapter.
pub(super) fn is_adapters(name: &str) -> bool {
    [".lora_A.", ".lora_B.", ".lora_magnitude_vector."].iter().any(|part| name.contains(part))
}

/// Adds variables, none of which may be there yet; their `requires_grad` stays.
pub(super) fn add(vs: &VarStore, variables: &[(String, Tensor)]) -> Result<()> {
    {
        // `Path::add` would rename a variable that is there, and panic where a thread panicked before.
        let held = vs.variables_.lock().map_err(|_| poisoned())?;
        if let Some((name, _)) = variables.iter().find(|(name, _)| held.named_variables.contains_key(name)) {
            return Err(Error::Grades(grades::Error::Unsupported {
                what: format!("adding the variable \"{name}\""),
                reason: "the VarStore has one of this name already".to_owned(),
            }));
        }
    }
    for (name, tensor) in variables {
        let mut parts: Vec<&str> = name.split('.').collect();
        let last = parts.pop().unwrap_or_default();
        let path = parts.iter().fold(vs.root(), |path, part| path.sub(*part));
        let trains = tensor.requires_grad();
        let _ = path.add(last, tensor.shallow_clone(), true);
        tensor.f_set_requires_grad(trains).map(drop)?;
    }
    Ok(())
}

/// Removes variables by name.
pub(super) fn remove(vs: &VarStore, names: &[String]) -> Result<()> {
    let mut variables = vs.variables_.lock().map_err(|_| poisoned())?;
    let mut gone: HashSet<Identity> = HashSet::new();
    for name in names {
        if let Some(tensor) = variables.named_variables.remove(name) {
            gone.insert(identity(&tensor)?);
        }
    }
    let mut kept = Vec::with_capacity(variables.trainable_variables.len());
    for variable in variables.trainable_variables.drain(..) {
        if !gone.contains(&identity(&variable.tensor)?) {
            kept.push(variable);
        }
    }
    variables.trainable_variables = kept;
    Ok(())
}

fn poisoned() -> Error {
    Error::Grades(grades::Error::Unsupported {
        what: "reading the VarStore".to_owned(),
        reason: "another thread panicked while it used it".to_owned(),
    })
}
