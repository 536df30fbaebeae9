//! The files of an adapter: PEFT's.

mod names;
mod read;
mod write;

pub(crate) use read::{Expected, read_weights};
pub(crate) use write::write;

/// The name of the file with the configuration.
pub const CONFIG_FILE: &str = "adapter_config.json";

/// The name of the file with the tensors.
pub const WEIGHTS_FILE: &str = "adapter_model.safetensors";
