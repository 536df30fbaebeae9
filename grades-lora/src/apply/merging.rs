//! Merging whole adapters.

use tch::nn::VarStore;

use super::adapters::Adapters;
use super::layers::{LinearLayers, each};
use super::{shared, store};
use crate::error::shortened;
use crate::error::{Error, Result};
use crate::layer::Linear;

impl Adapters {
    /// Merges an adapter in all its layers; see [`Linear::merge`]. The variables of the `VarStore` stay as they are: what is
    /// saved of them is the base without adapters.
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`](crate::Error::Adapter) when it is not there, is not in use, is merged in some layer already, or
    /// would make weights that are not finite, or a layer's own weight trains;
    /// [`Error::Torch`](crate::Error::Torch) when libtorch refuses. Nothing has changed then.
    pub fn merge(&mut self, model: &mut (impl LinearLayers + ?Sized), name: &str) -> Result<()> {
        if !self.entry(name)?.active {
            let active: Vec<&str> = self.active().collect();
            let message = format!("is not in use; activate it first (in use: {})", shortened(&active));
            return Err(Error::adapter(name, message));
        }
        self.all_or_none(model, name, Linear::merge, Linear::unmerge)
    }

    /// Takes an adapter out of all its layers again; see [`Linear::unmerge`].
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`](crate::Error::Adapter) when it is not there, or is not merged in some layer;
    /// [`Error::Torch`](crate::Error::Torch) when libtorch refuses.
    pub fn unmerge(&mut self, model: &mut (impl LinearLayers + ?Sized), name: &str) -> Result<()> {
        self.all_or_none(model, name, Linear::unmerge, Linear::merge)
    }

    /// Merges the adapters in use for good and removes all adapters: the model is a plain one afterwards, with the
    /// same outputs, and `vs` has the base's variables only, none of which trains until `requires_grad` is set.
    ///
    /// # Errors
    ///
    /// [`Error::Layer`](crate::Error::Layer) when an adapted layer shares its weight with another layer or a variable of
    /// another name, such as a head tied to the embeddings: writing to it would change both. Otherwise as
    /// [`merge`](Self::merge). The adapters are then all there still, and nothing has changed.
    pub fn merge_and_unload(
        &mut self,
        model: &mut (impl LinearLayers + ?Sized),
        vs: &VarStore,
    ) -> Result<()> {
        let names: Vec<String> = self.active().map(str::to_owned).collect();
        let changing = |layer: &Linear| layer.adapters().iter().any(|adapter| adapter.is_active());
        shared::refuse(model, vs, changing)?;
        let mut merged: Vec<(String, String)> = Vec::new();
        let result = each(model, |module, layer| {
            for name in &names {
                if layer.adapter(name).is_some_and(|adapter| adapter.is_active() && !adapter.is_merged()) {
                    layer.merge_in(name)?;
                    merged.push((module.to_owned(), name.clone()));
                }
            }
            Ok(())
        });
        if let Err(error) = result {
            each(model, |module, layer| {
                for (_, name) in merged.iter().filter(|(merged, _)| merged == module) {
                    layer.unmerge(name)?;
                }
                Ok(())
            })?;
            return Err(error);
        }
        for entry in &self.entries {
            store::remove(vs, &entry.variables())?;
        }
        each(model, |_, layer| layer.bake())?;
        for original in self.originals.values() {
            if original.variable.requires_grad() {
                original.variable.f_set_requires_grad(false).map(drop)?;
            }
        }
        *self = Self::default();
        Ok(())
    }

    /// Does one thing to all layers of an adapter; where one fails, undoes it in those before.
    fn all_or_none(
        &self,
        model: &mut (impl LinearLayers + ?Sized),
        name: &str,
        act: impl Fn(&mut Linear, &str) -> Result<()>,
        undo: impl Fn(&mut Linear, &str) -> Result<()>,
    ) -> Result<()> {
        let entry = self.entry(name)?;
        let mut done: Vec<String> = Vec::new();
        let mine = |module: &str| entry.modules.iter().any(|known| known == module);
        let result = each(model, |module, layer| {
            if mine(module) {
                act(layer, name)?;
                done.push(module.to_owned());
            }
            Ok(())
        });
        let Err(error) = result else { return Ok(()) };
        each(
            model,
            |module, layer| if done.iter().any(|d| d == module) { undo(layer, name) } else { Ok(()) },
        )?;
        Err(error)
    }
}
