//! Loads the task that fits the model.

use anyhow::Result;
use grades_models::Family;

use super::adapters::TrainedAdapter;
use super::causal_lm::CausalLm;
use super::classification::Classification;
use super::precision::{note_on_masters, resolve_auto};
use super::task::Task;
use crate::config::{RunConfig, resolve_for_model};

/// A task that is ready to train.
pub(crate) struct Loaded {
    /// The configuration, with the defaults that depend on the model.
    pub(crate) config: RunConfig,
    /// The model and its data.
    pub(crate) task: Box<dyn Task>,
    /// The adapter that trains, unless the whole model does.
    pub(crate) adapter: Option<TrainedAdapter>,
    /// Facts that the user should know before the run, besides the task's.
    pub(crate) notes: Vec<String>,
}

/// Seeds libtorch, loads the model and the data of a configuration, and adds its adapter.
///
/// # Errors
///
/// When a file is missing or damaged, or the configuration does not fit the model or the data.
pub(crate) fn load(config: &RunConfig) -> Result<Loaded> {
    // libtorch wants a signed seed; only its bits count.
    tch::manual_seed(config.training.seed.cast_signed());
    let device = config.model.device.device()?;
    let mut config = config.clone();
    let chosen = resolve_auto(&mut config.model, device)?;
    let (family, max_tokens) = resolve_for_model(&mut config)?;
    let mut task: Box<dyn Task> = match family {
        Family::Bert => Box::new(Classification::load(&config, device, max_tokens)?),
        Family::Decoder(_) => Box::new(CausalLm::load(&config, device, max_tokens)?),
    };
    let base = config.model.path.display().to_string();
    let adapter =
        config.lora.as_ref().map(|lora| TrainedAdapter::add(lora, task.as_mut(), &base)).transpose()?;
    let notes = chosen.into_iter().chain(note_on_masters(&config.optimizer, task.store())).collect();
    Ok(Loaded { config, task, adapter, notes })
}
