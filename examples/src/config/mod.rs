//! The configuration of a run: one TOML file, every key of which the command line can override.

mod document;
mod keys;
mod lora;
mod run;
mod values;

pub use document::Document;
pub use lora::LoraRun;
pub use run::{
    DataConfig, ModelConfig, OptimizerConfig, OptimizerName, OutputConfig, RunConfig, ScheduleConfig,
    ScheduleName, TrainingConfig,
};
pub use values::{DeviceChoice, KindChoice};
