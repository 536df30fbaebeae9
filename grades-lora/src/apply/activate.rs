//! Which adapters are in use.

use std::collections::BTreeMap;

use tch::nn::VarStore;

use super::adapters::{Adapters, Original};
use super::layers::{LinearLayers, each};
use super::store;
use crate::error::{Error, Result};

impl Adapters {
    /// Uses these adapters and no others; only they train. Frozen parts of an adapter stay frozen, also when it is taken
    /// out of use and used again.
    ///
    /// Variables that an adapter brings values for, its modules to save and biases, take those values while it is in
    /// use and are the base's own otherwise. An adapter that is merged and no longer used is unmerged.
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`] when one is not there, or when two bring values for one variable; [`Error::Torch`] when libtorch
    /// refuses.
    pub fn activate(&mut self, model: &mut (impl LinearLayers + ?Sized), names: &[&str]) -> Result<()> {
        let mut owners: BTreeMap<String, usize> = BTreeMap::new();
        for name in names {
            self.entry(name)?;
        }
        for (index, entry) in self.entries.iter().enumerate() {
            if !names.contains(&entry.name.as_str()) {
                continue;
            }
            for variable in entry.stored.keys() {
                if let Some(other) = owners.insert(variable.clone(), index) {
                    let other = self.entries.get(other).map_or("", |entry| entry.name.as_str());
                    let message =
                        format!("brings values for \"{variable}\", as \"{other}\" does; use one at a time");
                    return Err(Error::adapter(&entry.name, message));
                }
            }
        }
        self.step_out()?;
        self.step_in(&owners)?;
        let before: Vec<bool> = self.entries.iter().map(|entry| entry.active).collect();
        for entry in &mut self.entries {
            entry.active = names.contains(&entry.name.as_str());
        }
        self.set_gradients(&before)?;
        let entries = &self.entries;
        each(model, |module, layer| {
            for entry in entries.iter().filter(|entry| entry.modules.iter().any(|known| known == module)) {
                layer.set_active(&entry.name, entry.active)?;
            }
            Ok(())
        })?;
        self.disabled = None;
        Ok(())
    }

    /// Uses none of the adapters: the model is the base, and nothing of it trains.
    ///
    /// # Errors
    ///
    /// [`Error::Torch`] when libtorch refuses.
    pub fn disable(&mut self, model: &mut (impl LinearLayers + ?Sized)) -> Result<()> {
        if self.disabled.is_none() {
            let before: Vec<String> = self.active().map(str::to_owned).collect();
            self.activate(model, &[])?;
            self.disabled = Some(before);
        }
        Ok(())
    }

    /// Undoes [`disable`](Self::disable); what was merged is not merged again.
    ///
    /// # Errors
    ///
    /// [`Error::Torch`] when libtorch refuses.
    pub fn enable(&mut self, model: &mut (impl LinearLayers + ?Sized)) -> Result<()> {
        match self.disabled.clone() {
            Some(names) => self.activate(model, &names.iter().map(String::as_str).collect::<Vec<_>>()),
            None => Ok(()),
        }
    }

    /// Takes an adapter out of the model and its variables out of `vs`.
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`] when it is not there; [`Error::Torch`] when libtorch refuses.
    pub fn remove(
        &mut self,
        model: &mut (impl LinearLayers + ?Sized),
        vs: &VarStore,
        name: &str,
    ) -> Result<()> {
        self.entry(name)?;
        let rest: Vec<String> = self.active().filter(|active| *active != name).map(str::to_owned).collect();
        let disabled = self.disabled.clone();
        self.activate(model, &rest.iter().map(String::as_str).collect::<Vec<_>>())?;
        // `enable` still brings back the others.
        self.disabled = disabled.map(|names| names.into_iter().filter(|other| other != name).collect());
        let entry = self.entry(name)?;
        each(model, |module, layer| {
            if entry.modules.iter().any(|known| known == module) {
                layer.detach(name)?;
            }
            Ok(())
        })?;
        store::remove(vs, &entry.variables())?;
        self.entries.retain(|entry| entry.name != name);
        let entries = &self.entries;
        self.originals.retain(|variable, _| entries.iter().any(|entry| entry.stored.contains_key(variable)));
        Ok(())
    }

    /// Keeps the values that adapters in use gave to variables of the base.
    fn step_out(&mut self) -> Result<()> {
        for entry in self.entries.iter_mut().filter(|entry| entry.active) {
            for name in entry.stored.keys() {
                if let Some(original) = self.originals.get(name) {
                    entry.own.insert(name.clone(), original.variable.f_detach_copy()?);
                }
            }
        }
        Ok(())
    }

    /// Gives the variables the values of their new owners, or the base's own.
    fn step_in(&mut self, owners: &BTreeMap<String, usize>) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        for (name, original) in &mut self.originals {
            let owner = owners.get(name).and_then(|index| self.entries.get_mut(*index));
            let value = owner.and_then(|entry| entry.own.remove(name));
            original.variable.f_copy_(value.as_ref().unwrap_or(&original.value))?;
        }
        Ok(())
    }

    /// Turns gradients off for what is no longer in use, noting which were on, and on again for what comes back into
    /// use; `before` says which entries were in use. All else stays as it is.
    fn set_gradients(&mut self, before: &[bool]) -> Result<()> {
        let originals = &self.originals;
        for (entry, _) in self.entries.iter_mut().zip(before).filter(|(entry, was)| **was && !entry.active) {
            for (key, tensor) in &entry.tensors {
                entry.trained.insert(key.clone(), tensor.requires_grad());
                tensor.f_set_requires_grad(false).map(drop)?;
            }
            let brought = entry.stored.keys().filter_map(|name| Some((name, originals.get(name)?)));
            for (name, Original { variable, .. }) in brought {
                entry.trained.insert(name.clone(), variable.requires_grad());
                variable.f_set_requires_grad(false).map(drop)?;
            }
        }
        for (entry, _) in self.entries.iter().zip(before).filter(|(entry, was)| !**was && entry.active) {
            let trains = |key: &str| entry.trained.get(key).copied().unwrap_or(entry.trainable);
            for (key, tensor) in &entry.tensors {
                tensor.f_set_requires_grad(trains(key)).map(drop)?;
            }
            let brought = entry.stored.keys().filter_map(|name| Some((name, originals.get(name)?)));
            for (name, original) in brought.filter(|(_, original)| original.trainable) {
                original.variable.f_set_requires_grad(trains(name)).map(drop)?;
            }
        }
        Ok(())
    }
}

impl super::adapters::Entry {
    /// Returns the names of its variables in the `VarStore`.
    pub(super) fn variables(&self) -> Vec<String> {
        self.tensors
            .keys()
            .filter_map(|key| {
                let stem = key.strip_suffix(".weight").unwrap_or(key);
                let (module, part) = stem.rsplit_once('.')?;
                Some(store::name_of(module, part, &self.name))
            })
            .collect()
    }
}
