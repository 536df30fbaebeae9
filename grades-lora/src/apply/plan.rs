//! What an adapter will consist of, found out before anything is changed.

use std::collections::{BTreeMap, BTreeSet};

use tch::Tensor;
use tch::nn::VarStore;

use super::layers::{LinearLayers, Seen, look};
use super::store;
use crate::config::Matcher;
use crate::error::shortened;
use crate::layer::{Shape, check_rank};
use crate::{Bias, Error, LoraConfig, Result};

/// What an adapter will consist of in one model.
pub(super) struct Plan {
    /// By layer name.
    pub(super) layers: BTreeMap<String, Planned>,
    /// Variables of the base that train and are saved, by name.
    pub(super) stored: BTreeMap<String, Stored>,
    /// All other variables of the base.
    pub(super) frozen: Vec<Tensor>,
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
    /// Whether the store holds it as one that may train.
    pub(super) trainable: bool,
}

/// The names that PEFT adds to `modules_to_save` of every classifier, whichever of them there is.
const PEFT_HEADS: [&str; 2] = ["classifier", "score"];

impl Plan {
    pub(super) fn new(
        model: &mut (impl LinearLayers + ?Sized),
        vs: &VarStore,
        config: &LoraConfig,
    ) -> Result<Self> {
        let matcher = Matcher::new(config)?;
        let seen = look(model)?;
        let layers = adapted(&seen, &matcher, config)?;
        let mut stored = BTreeMap::new();
        let mut frozen = Vec::new();
        let mut used = BTreeSet::new();
        let biases: BTreeSet<String> = seen
            .iter()
            .filter(|layer| layer.has_bias && layers.contains_key(&layer.name))
            .map(|layer| format!("{}.bias", layer.name))
            .collect();
        for (name, variable) in store::variables(vs)? {
            if store::is_adapters(&name) {
                continue;
            }
            let saved = matcher.saved_by(&name);
            used.extend(saved.map(str::to_owned));
            let is_bias = match config.bias {
                Bias::None => false,
                Bias::All => name == "bias" || name.ends_with(".bias"),
                Bias::LoraOnly => biases.contains(&name),
            };
            if saved.is_none() && !(is_bias && variable.trainable) {
                frozen.push(variable.tensor);
                continue;
            }
            let key = match name.strip_suffix(".bias").filter(|_| biases.contains(&name)) {
                Some(module) => format!("{module}.base_layer.bias"),
                None => name.clone(),
            };
            let trainable = variable.trainable;
            stored.insert(name, Stored { key, variable: variable.tensor, trainable });
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
        Ok(Self { layers, stored, frozen })
    }
}

fn adapted(seen: &[Seen], matcher: &Matcher<'_>, config: &LoraConfig) -> Result<BTreeMap<String, Planned>> {
    let mut layers = BTreeMap::new();
    for layer in seen {
        let name = &layer.name;
        if !matcher.is_target(name, layer.head)? {
            continue;
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
