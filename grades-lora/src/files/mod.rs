//! The files of an adapter: PEFT's.

mod names;
mod own;
mod read;
mod regular;
mod write;

pub use own::own_file;
pub(crate) use read::{Expected, read_weights};
pub use regular::{open_regular, read_regular, read_regular_text};
pub(crate) use write::write;

/// The name of the file with the configuration; [`LoraConfig::from_adapter`](crate::LoraConfig::from_adapter) says which
/// keys are accepted.
pub const CONFIG_FILE: &str = "adapter_config.json";

/// The name of the file with the tensors: those of the adapters, of `modules_to_save` and of biases that train. It may
/// also have the own weight of an adapted layer, `….base_layer.weight`, where that is the model's.
pub const WEIGHTS_FILE: &str = "adapter_model.safetensors";
