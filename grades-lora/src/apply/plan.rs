//! Plans an adapter before anything in the model is changed.

use std::collections::{BTreeMap, BTreeSet};

use tch::Tensor;
use tch::nn::VarStore;

use super::layers::{LinearLayers, Seen, look};
use super::store;
use crate::config::Matcher;
use crate::config::{Bias, LoraConfig};
use crate::error::shortened;
use crate::error::{Error, Result};
use crate::layer::{Shape, check_rank};

/// The parts of an adapter in one model.
pub(super) struct Plan {
    /// By layer name.
    pub(super) layers: BTreeMap<String, Planned>,
    /// Variables of the base that train and are saved, by name.
    pub(super) stored: BTreeMap<String, Stored>,
    /// Second names of those in files, with `ensure_weight_tying`: pairs of a second name and a variable's.
    pub(super) tied: Vec<(String, String)>,
    /// All other variables of the base.
    pub(super) frozen: BTreeMap<String, Tensor>,
}

/// An adapter of one layer.
pub(super) struct Planned {
    pub(super) rank: i64,
    pub(super) alpha: f64,
    pub(super) scaling: f64,
    pub(super) shape: Shape,
}

/// A variable of the base that an adapter brings values for.
pub(super) struct Stored {
    /// Its name in files, without the prefix.
    pub(super) key: String,
    pub(super) variable: Tensor,
    /// Whether it is trainable in the store.
    pub(super) trainable: bool,
}

/// The names that PEFT adds to `modules_to_save` of every classifier, whichever of them there is.
const PEFT_HEADS: [&str; 2] = ["classifier", "score"];

impl Plan {
    pub(super) fn new(
        model: &mut (impl LinearLayers + ?Sized),
        vs: &VarStore,
        name: &str,
        config: &LoraConfig,
    ) -> Result<Self> {
        let matcher = Matcher::new(config)?;
        let seen = look(model)?;
        let layers = adapted(&seen, &matcher, name, config)?;
        let mut stored = BTreeMap::new();
        let mut frozen = BTreeMap::new();
        let mut tied = if config.ensure_weight_tying { model.tied() } else { Vec::new() };
        let mut used = BTreeSet::new();
        let mut biases_seen = BTreeSet::new();
        let biases: BTreeSet<String> = seen
            .iter()
            .filter(|layer| layer.has_bias && layers.contains_key(&layer.name))
            .map(|layer| format!("{}.bias", layer.name))
            .collect();
        for (name, variable) in store::variables(vs)? {
            if store::is_adapters(&name) {
                continue;
            }
            let mut saved = false;
            let seconds = tied.iter().filter(|(_, variable)| *variable == name).map(|(second, _)| second);
            for entry in std::iter::once(&name).chain(seconds).flat_map(|name| matcher.saved_by(name)) {
                used.insert(entry.to_owned());
                saved = true;
            }
            if biases.contains(&name) {
                biases_seen.insert(name.clone());
            }
            let is_bias = match config.bias {
                Bias::None => false,
                Bias::All => name == "bias" || name.ends_with(".bias"),
                Bias::LoraOnly => biases.contains(&name),
            };
            if !(saved || is_bias && variable.trainable) {
                frozen.insert(name, variable.tensor);
                continue;
            }
            let key = match name.strip_suffix(".bias").filter(|_| biases.contains(&name)) {
                Some(module) => format!("{module}.base_layer.bias"),
                None => name.clone(),
            };
            let trainable = variable.trainable;
            stored.insert(name, Stored { key, variable: variable.tensor, trainable });
        }
        if config.bias == Bias::LoraOnly
            && let Some(bias) = biases.difference(&biases_seen).next()
        {
            let layer = bias.strip_suffix(".bias").unwrap_or(bias);
            let message = format!("\"bias\" is \"lora_only\", but the VarStore has no \"{bias}\" to train");
            return Err(Error::layer(layer, message));
        }
        for entry in &config.modules_to_save {
            if !used.contains(entry) && !PEFT_HEADS.contains(&entry.as_str()) {
                let layers: Vec<&str> = seen.iter().map(|layer| layer.name.as_str()).collect();
                return Err(Error::NoTarget {
                    wanted: format!("\"modules_to_save\" entry \"{entry}\""),
                    layers: shortened(&layers),
                });
            }
        }
        tied.retain(|(_, variable)| stored.contains_key(variable));
        Ok(Self { layers, stored, tied, frozen })
    }

    /// Refuses a configuration of which a part means no layer of the model, such as a name with a slip in it.
    pub(super) fn check_all_used(
        model: &mut (impl LinearLayers + ?Sized),
        config: &LoraConfig,
    ) -> Result<()> {
        let names: Vec<String> = look(model)?.into_iter().map(|layer| layer.name).collect();
        let unused = Matcher::new(config)?.unused(&names)?;
        if unused.is_empty() {
            return Ok(());
        }
        let wanted =
            if unused.len() == 1 { unused.concat() } else { format!("each of {}", unused.join(", ")) };
        Err(Error::NoTarget { wanted, layers: shortened(&names) })
    }
}

fn adapted(
    seen: &[Seen],
    matcher: &Matcher<'_>,
    adapter: &str,
    config: &LoraConfig,
) -> Result<BTreeMap<String, Planned>> {
    let mut layers = BTreeMap::new();
    for layer in seen {
        let name = &layer.name;
        if !matcher.is_target(name, layer.head)? {
            continue;
        }
        if let Some(entry) = matcher.saved_by(&format!("{name}.weight")).next() {
            let message = format!(
                "is both adapted and in \"modules_to_save\" entry \"{entry}\", which means every module whose name ends \
                 so; exclude it (\"exclude_modules\"), or name the modules to save more fully"
            );
            return Err(Error::layer(name, message));
        }
        if layer.adapters.iter().any(|other| other == adapter) {
            let message = format!("has an adapter \"{adapter}\" already, which was attached by hand");
            return Err(Error::layer(name, message));
        }
        let shape = match &layer.shape {
            Ok(shape) => *shape,
            Err(error) => return Err(Error::layer(name, error.to_string())),
        };
        let (rank, alpha) = (matcher.rank(name)?, matcher.alpha(name)?);
        check_rank(rank, shape).map_err(|message| Error::layer(name, message))?;
        let scaling = config.scaling(rank, alpha);
        layers.insert(name.clone(), Planned { rank, alpha, scaling, shape });
    }
    if layers.is_empty() {
        let names: Vec<&str> = seen.iter().map(|layer| layer.name.as_str()).collect();
        let mut wanted = format!("\"target_modules\" {}", config.target_modules);
        if config.exclude_modules.is_some() || config.layers_to_transform.is_some() {
            wanted += ", with what \"exclude_modules\" and \"layers_to_transform\" leave of it,";
        }
        return Err(Error::NoTarget { wanted, layers: shortened(&names) });
    }
    Ok(layers)
}
