//! Reads the parameters of a `VarStore`: names from one of its collections, groups and trainability from the other.

use std::collections::{BTreeMap, HashMap};

use tch::nn::VarStore;

use super::{ParamId, Parameter, Parameters};
use crate::error::{Error, Result};
use crate::torch::identity;

impl Parameters {
    /// Finds the variables of `vs` that are registered as trainable and have `requires_grad` on.
    ///
    /// A variable is found by the identity of its tensor. If it has several names, the first one is its name and the others
    /// are [`aliases`](Parameters::aliases).
    ///
    /// # Errors
    ///
    /// [`Error::NoComponents`] when nothing is trainable, [`Error::Unsupported`] when a trainable variable has no
    /// name, or when a thread panicked while it locked `vs`.
    pub fn from_var_store(vs: &VarStore) -> Result<Self> {
        let variables = vs.variables_.lock().map_err(|_| Error::Unsupported {
            what: "reading the VarStore".to_owned(),
            reason: "another thread panicked while it used it".to_owned(),
        })?;
        let mut groups = HashMap::new();
        for variable in &variables.trainable_variables {
            groups.entry(identity(&variable.tensor)?).or_insert(variable.group);
        }

        let named: BTreeMap<_, _> = variables.named_variables.iter().collect();
        let mut seen = HashMap::new();
        let mut found =
            Parameters { list: Vec::new(), ids: BTreeMap::new(), aliases: Vec::new(), left_out: Vec::new() };
        for (name, tensor) in &named {
            let identity = identity(tensor)?;
            let Some(&group) = groups.get(&identity) else { continue };
            match seen.get(&identity) {
                Some(&Some(id)) => {
                    found.aliases.push((name.to_string(), id));
                    found.ids.insert(name.to_string(), id);
                }
                Some(None) => found.left_out.push(name.to_string()),
                None if tensor.requires_grad() => {
                    let id = ParamId::new(found.list.len());
                    let tensor = tensor.shallow_clone();
                    found.list.push(Parameter { name: name.to_string(), tensor, group });
                    found.ids.insert(name.to_string(), id);
                    seen.insert(identity, Some(id));
                }
                None => {
                    found.left_out.push(name.to_string());
                    seen.insert(identity, None);
                }
            }
        }

        let nameless = groups.len() - seen.len();
        if nameless > 0 {
            return Err(Error::Unsupported {
                what: "reading the VarStore".to_owned(),
                reason: format!("{nameless} of its trainable variables have no name in `named_variables`"),
            });
        }
        if found.list.is_empty() {
            return Err(Error::NoComponents {
                reason: "the VarStore has no variable with requires_grad on".to_owned(),
                seen: shortened(named.keys().map(|name| name.as_str())),
            });
        }
        Ok(found)
    }
}

/// Returns the first names and the number of further ones.
fn shortened<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 8;
    let total = names.len();
    let shown = names.take(SHOWN).collect::<Vec<_>>().join(", ");
    match total {
        0 => "none".to_owned(),
        total if total > SHOWN => format!("{shown} and {} more", total - SHOWN),
        _ => shown,
    }
}
