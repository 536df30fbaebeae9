//! Loading and saving adapters.

use std::collections::BTreeMap;
use std::path::Path;

use tch::Tensor;
use tch::nn::VarStore;

use super::adapters::{Adapters, LoadOptions};
use super::layers::{LinearLayers, each};
use super::plan::Plan;
use crate::config::LoraConfig;
use crate::error::{Error, Result};
use crate::files::{self, Expected};
use crate::layer::Adapter;

impl Adapters {
    /// Writes `adapter_config.json` and `adapter_model.safetensors` to a folder, as PEFT 0.21 does, making the folder
    /// when it is not there. Each file is written in full before an old one is replaced.
    ///
    /// # Errors
    ///
    /// [`Error::Adapter`](crate::Error::Adapter) when there is no adapter of this name,
    /// [`Error::Io`](crate::Error::Io) naming what could not be written.
    pub fn save(&self, name: &str, dir: &Path) -> Result<()> {
        let entry = self.entry(name)?;
        let mut tensors: BTreeMap<String, Tensor> =
            entry.tensors.iter().map(|(key, tensor)| (key.clone(), tensor.shallow_clone())).collect();
        for (variable, key) in &entry.stored {
            let own = entry.own.get(variable).filter(|_| !entry.active);
            let current = self.originals.get(variable).map(|original| &original.variable);
            if let Some(tensor) = own.or(current) {
                tensors.insert(key.clone(), tensor.shallow_clone());
                for (second, _) in entry.tied.iter().filter(|(_, tied)| tied == variable) {
                    tensors.insert(second.clone(), tensor.shallow_clone());
                }
            }
        }
        files::write(dir, &entry.config, &tensors)
    }

    /// Reads an adapter that [`save`](Self::save) or PEFT wrote, and adds it to a model; the first one is in use at
    /// once. It trains only if `options` say so.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) and [`Error::File`](crate::Error::File) for files that cannot be read, are
    /// damaged, have a number that is not finite in the model's dtype, or do not go with the model: a tensor that is
    /// missing, unexpected, of another shape, or a layer's own weight and not this model's.
    /// [`Error::Unsupported`](crate::Error::Unsupported) for what is not implemented, by key and value. Otherwise as [`add`](Self::add).
    pub fn load(
        &mut self,
        model: &mut (impl LinearLayers + ?Sized),
        vs: &VarStore,
        name: &str,
        dir: &Path,
        options: LoadOptions,
    ) -> Result<()> {
        self.check_name(name)?;
        let config = LoraConfig::from_adapter(dir)?;
        let plan = Plan::new(model, vs, name, &config)?;
        let mut expected = BTreeMap::new();
        for (module, planned) in &plan.layers {
            let shape = planned.shape;
            let mut expect = |part: &str, size: Vec<i64>| {
                let expected_tensor = Expected { size, kind: shape.kind, device: shape.device };
                expected.insert(format!("{module}.{part}"), expected_tensor);
            };
            expect("lora_A.weight", vec![planned.rank, shape.inputs]);
            expect("lora_B.weight", vec![shape.outputs, planned.rank]);
            if config.use_dora {
                expect("lora_magnitude_vector", vec![shape.outputs]);
            }
        }
        for stored in plan.stored.values() {
            let kind = stored.variable.f_kind()?;
            let device = stored.variable.device();
            expected.insert(stored.key.clone(), Expected { size: stored.variable.size(), kind, device });
        }
        for (second, variable) in &plan.tied {
            if let Some(stored) = plan.stored.get(variable) {
                let (size, kind) = (stored.variable.size(), stored.variable.f_kind()?);
                expected.insert(second.clone(), Expected { size, kind, device: stored.variable.device() });
            }
        }
        let mut bases = BTreeMap::new();
        each(model, |module, layer| {
            if plan.layers.contains_key(module) {
                bases.insert(format!("{module}.base_layer.weight"), layer.base_weight().shallow_clone());
            }
            Ok(())
        })?;
        let mut tensors = files::read_weights(dir, &expected, &bases)?;
        for (second, variable) in &plan.tied {
            let own = plan.stored.get(variable).and_then(|stored| tensors.get(&stored.key));
            if let (Some(copy), Some(own)) = (tensors.get(second), own)
                && !copy.f_equal(own)?
            {
                let message = format!(
                    "\"{second}\" and \"{variable}\" differ, but \"ensure_weight_tying\" makes them one weight of this model"
                );
                return Err(Error::file(&dir.join(files::WEIGHTS_FILE), message));
            }
        }
        let mut adapters = BTreeMap::new();
        for (module, planned) in &plan.layers {
            let mut take = |part: &str| tensors.remove(&format!("{module}.{part}"));
            if let (Some(a), Some(b)) = (take("lora_A.weight"), take("lora_B.weight")) {
                let magnitude = take("lora_magnitude_vector");
                let adapter = Adapter::from_tensors(name, a, b, magnitude, planned.scaling, config.dropout)?;
                adapters.insert(module.clone(), adapter);
            }
        }
        each(model, |module, layer| match adapters.get(module) {
            Some(adapter) => adapter.check_norms(layer).map_err(|message| Error::layer(module, message)),
            None => Ok(()),
        })?;
        let own = plan
            .stored
            .iter()
            .filter_map(|(variable, stored)| Some((variable.clone(), tensors.remove(&stored.key)?)))
            .collect();
        self.insert(model, vs, name, &config, plan, adapters, own, options.trainable)
    }
}
