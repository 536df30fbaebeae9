//! The adapters of a model.

use std::collections::{BTreeMap, BTreeSet};

use tch::Tensor;
use tch::nn::VarStore;

use super::layers::{LinearLayers, each};
use super::plan::{Plan, Stored};
use super::store;
use crate::config::LoraConfig;
use crate::error::{Error, Result};
use crate::layer::Adapter;

/// The adapters of a model, by name: adds, activates, merges, loads and saves them.
///
/// Several adapters may be in use at once; a layer sums them. A call that fails leaves the model unchanged. Always pass the
/// model that the adapters were added to. Arguments come in one order: the model, its variables, the adapter's name,
/// and then its configuration or folder.
///
/// See the [crate's documentation](crate) for an example.
#[derive(Debug, Default)]
pub struct Adapters {
    pub(super) entries: Vec<Entry>,
    /// The base's own values of variables that adapters bring values for, by name.
    pub(super) originals: BTreeMap<String, Original>,
    /// The adapters that were active before all were disabled.
    pub(super) disabled: Option<Vec<String>>,
}

/// One adapter of the whole model.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) config: LoraConfig,
    /// The tensors by their names in files, without the prefix.
    pub(super) tensors: BTreeMap<String, Tensor>,
    /// The adapted layers.
    pub(super) modules: Vec<String>,
    /// The variables of the base that it brings values for: their names in files.
    pub(super) stored: BTreeMap<String, String>,
    /// Second names of those in files: pairs of a second name and a variable's.
    pub(super) tied: Vec<(String, String)>,
    /// Those values while it is not in use.
    pub(super) own: BTreeMap<String, Tensor>,
    pub(super) active: bool,
    pub(super) trainable: bool,
    /// Which of its tensors, and of the variables that it brings values for, took gradients when it was last in use,
    /// by `tensors`' keys and variables' names; what is not there is as `trainable` says.
    pub(super) trained: BTreeMap<String, bool>,
}

/// A variable of the base that an adapter changes.
#[derive(Debug)]
pub(super) struct Original {
    pub(super) variable: Tensor,
    pub(super) value: Tensor,
    /// Whether it is trainable in the store.
    pub(super) trainable: bool,
}

/// Options of [`Adapters::load`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Whether the adapter trains on; off by default.
    pub trainable: bool,
}

impl Adapters {
    /// Creates an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fresh adapter to a model whose variables are in `vs`.
    ///
    /// The adapter's tensors become variables of `vs`, such as `encoder.layer.0.query.lora_A.NAME.weight`. All other
    /// variables get `requires_grad` off, except those of `modules_to_save` and the biases that `bias` names. The first
    /// adapter is in use at once, a further one from [`activate`](Self::activate) on.
    ///
    /// # Errors
    ///
    /// [`Error::NoTarget`] when the configuration, or one of its names, expressions or blocks, matches no layer, with the
    /// names of the layers; [`Error::Layer`] for a rank that is larger than a layer, for a layer that would be both
    /// adapted and saved in full, whose bias is asked for and not in `vs`, or which has an adapter of this name, and with
    /// DoRA for one with a row of zeros; [`Error::Adapter`] for a name that is taken or is none; [`Error::Config`] for a
    /// configuration that is wrong in itself; [`Error::Torch`] when libtorch refuses.
    pub fn add(
        &mut self,
        model: &mut (impl LinearLayers + ?Sized),
        vs: &VarStore,
        name: &str,
        config: &LoraConfig,
    ) -> Result<()> {
        self.check_name(name)?;
        let plan = Plan::new(model, vs, name, config)?;
        Plan::check_all_used(model, config)?;
        let mut fresh = BTreeMap::new();
        each(model, |module, layer| {
            if let Some(planned) = plan.layers.get(module) {
                let adapter = Adapter::new(name, layer, planned.rank, planned.alpha, config)
                    .map_err(|error| Error::layer(module, error.to_string()))?;
                fresh.insert(module.to_owned(), adapter);
            }
            Ok(())
        })?;
        self.insert(model, vs, name, config, plan, fresh, BTreeMap::new(), true)
    }

    /// Returns whether a variable of this name is a tensor of an adapter.
    ///
    /// ```
    /// use grades_lora::Adapters;
    /// assert!(Adapters::is_variable("encoder.layer.0.query.lora_A.default.weight"));
    /// assert!(!Adapters::is_variable("encoder.layer.0.query.weight"));
    /// ```
    pub fn is_variable(name: &str) -> bool {
        store::is_adapters(name)
    }

    /// Returns the names, in the order in which the adapters were added.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// Returns the names of the active adapters.
    pub fn active(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(|entry| entry.active).map(|entry| entry.name.as_str())
    }

    /// Returns the configuration of an adapter, with `all-linear` written out.
    pub fn config(&self, name: &str) -> Option<&LoraConfig> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| &entry.config)
    }

    /// Returns the names of the layers that have an adapter, sorted.
    pub fn layers(&self, name: &str) -> Option<&[String]> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| entry.modules.as_slice())
    }

    /// Returns whether an adapter brings its own values for a variable of the base: one of `modules_to_save`, or a bias.
    pub fn brings(&self, name: &str, variable: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == name && entry.stored.contains_key(variable))
    }

    pub(super) fn entry(&self, name: &str) -> Result<&Entry> {
        self.entries.iter().find(|entry| entry.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.names().collect();
            Error::adapter(name, format!("is not there; there are: {}", crate::error::shortened(&names)))
        })
    }

    /// Checks that a name is valid and free.
    pub(super) fn check_name(&self, name: &str) -> Result<()> {
        let sound = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(sound) {
            return Err(Error::adapter(name, "is no name; expected letters, digits, _ and -"));
        }
        if self.entries.iter().any(|entry| entry.name == name) {
            return Err(Error::adapter(name, "is there already; choose another name, or remove it first"));
        }
        Ok(())
    }

    /// Adds adapters that were checked to fit.
    #[allow(clippy::too_many_arguments, reason = "all that a plan became, taken apart nowhere else")]
    pub(super) fn insert(
        &mut self,
        model: &mut (impl LinearLayers + ?Sized),
        vs: &VarStore,
        name: &str,
        config: &LoraConfig,
        plan: Plan,
        mut adapters: BTreeMap<String, Adapter>,
        own: BTreeMap<String, Tensor>,
        trainable: bool,
    ) -> Result<()> {
        let mut tensors = BTreeMap::new();
        let mut variables = Vec::new();
        for (module, adapter) in &adapters {
            for (part, tensor) in adapter.named() {
                let end = if part == "lora_magnitude_vector" { "" } else { ".weight" };
                tensors.insert(format!("{module}.{part}{end}"), tensor.shallow_clone());
                variables.push((store::name_of(module, part, name), tensor.shallow_clone()));
            }
        }
        let modules: Vec<String> = adapters.keys().cloned().collect();
        store::add(vs, &variables)?;
        // Variables that others in use train go on training.
        let active = self.entries.iter().filter(|entry| entry.active);
        let used: BTreeSet<String> = active.flat_map(|entry| entry.stored.keys().cloned()).collect();
        for (_, variable) in plan.frozen.iter().filter(|(name, _)| !used.contains(*name)) {
            if variable.requires_grad() {
                variable.f_set_requires_grad(false).map(drop)?;
            }
        }
        each(model, |module, layer| {
            let Some(adapter) = adapters.remove(module) else { return Ok(()) };
            // Those that are in no store.
            for (end, tensor) in [("weight", Some(layer.weight())), ("bias", layer.bias())] {
                let name = format!("{module}.{end}");
                let stored = plan.stored.contains_key(&name) || used.contains(&name);
                if let Some(tensor) = tensor.filter(|tensor| tensor.requires_grad() && !stored) {
                    tensor.f_set_requires_grad(false).map(drop)?;
                }
            }
            adapter.set_trainable(false)?;
            layer.attach(adapter)?;
            layer.set_active(name, false)
        })?;
        let mut stored = BTreeMap::new();
        let mut values = own;
        for (variable_name, found) in plan.stored {
            if !self.originals.contains_key(&variable_name) {
                let value = found.variable.f_detach_copy()?;
                let Stored { ref variable, trainable, .. } = found;
                let original = Original { variable: variable.shallow_clone(), value, trainable };
                self.originals.insert(variable_name.clone(), original);
            }
            if let Some(original) = self.originals.get(&variable_name) {
                // A fresh adapter begins at the base's own values.
                values.entry(variable_name.clone()).or_insert(original.value.f_detach_copy()?);
                if !used.contains(&variable_name) {
                    found.variable.f_set_requires_grad(false).map(drop)?;
                }
            }
            stored.insert(variable_name, found.key);
        }
        let mut config = config.clone();
        if config.target_modules == crate::Targets::AllLinear {
            config.target_modules = crate::Targets::List(modules.clone());
        }
        let name = name.to_owned();
        let first = self.entries.is_empty();
        self.entries.push(Entry {
            name: name.clone(),
            config,
            tensors,
            modules,
            stored,
            tied: plan.tied,
            own: values,
            active: false,
            trainable,
            trained: BTreeMap::new(),
        });
        if first { self.activate(model, &[&name]) } else { Ok(()) }
    }
}
