//! Checkpoints: everything that a run depends on, in a folder per step, from which it resumes bit by bit.
//!
//! `checkpoints/step-00000120/` of a run's folder contains the trainable parameters (`parameters.safetensors`), the
//! optimizer with everything that has frozen (`optimizer.safetensors`), with early stopping the best weights so far
//! (`best.safetensors`), and the rest with the checksums of the others (`run.toml`).
//! The order of the data is a function of the seed, so the step is its position.

mod find;
mod rng;
mod run_toml;
mod snapshot;
mod write;
mod writer;

pub(crate) use find::{Found, newest};
pub use find::{Newest, newest_checkpoint};
pub(crate) use rng::generators;
pub(crate) use run_toml::RunToml;
pub(crate) use snapshot::Snapshot;
pub(crate) use writer::Writer;

/// The folder of all checkpoints of a run, in the run's folder.
pub(crate) const FOLDER: &str = "checkpoints";

/// The file of the trainable parameters.
pub(crate) const PARAMETERS: &str = "parameters.safetensors";
/// The file of the optimizer.
pub(crate) const OPTIMIZER: &str = "optimizer.safetensors";
/// The file of the best weights so far, with early stopping.
pub(crate) const BEST: &str = "best.safetensors";

/// The file of everything else.
const RUN: &str = "run.toml";

const PREFIX: &str = "step-";

/// Returns the name of the checkpoint of a step.
fn name_of(step: u64) -> String {
    format!("{PREFIX}{step:08}")
}

/// Returns the step of the checkpoint with this name.
fn step_of(name: &str) -> Option<u64> {
    let step = name.strip_prefix(PREFIX)?.parse().ok()?;
    (name_of(step) == name).then_some(step)
}
