//! The configuration of a run: one TOML file, every key of which the command line can override.

mod compare;
mod decoder;
mod document;
mod early_stopping;
mod interval;
mod keys;
mod lora;
mod model_checks;
mod read;
mod run;
mod safety;
mod values;

pub use compare::CompareConfig;
pub use decoder::EvaluationConfig;
pub use document::Document;
pub use early_stopping::EarlyStoppingConfig;
pub use interval::Interval;
pub use lora::LoraRun;
pub(crate) use model_checks::resolve_for_model;
pub use run::{
    DataConfig, ModelConfig, OptimizerConfig, OptimizerName, OutputConfig, RunConfig, ScheduleConfig,
    ScheduleName, SequenceKeys, TrainingConfig,
};
pub use safety::{CheckpointConfig, GuardConfig};
pub use values::{DeviceChoice, KindChoice};
