//! Checkpoints: all that a run depends on, in a folder per step, from which it goes on bit by bit.
//!
//! `checkpoints/step-00000120/` of a run's folder holds the parameters that train (`parameters.safetensors`), the
//! optimizer with all that has frozen (`optimizer.safetensors`), with early stopping the best weights so far
//! (`best.safetensors`), and the rest with the checksums of the others (`run.toml`).
//! The order of the data is a function of the seed, so the step is its position.

mod copy;
mod digest;
mod find;
mod inputs;
mod state;
mod write;
mod writer;

pub(super) use copy::Copied;
pub(super) use find::{Found, newest};
pub use find::{Newest, newest_checkpoint};
pub(super) use inputs::inputs;
pub(crate) use inputs::model_inputs;
pub(super) use state::{Counters, RunState, Stopping};
pub(super) use writer::Writer;

use crate::records::{EVALS, FREEZES, STATISTICS, STEPS};

/// The folder of all checkpoints of a run, in the run's folder.
pub(super) const FOLDER: &str = "checkpoints";

/// The files of a checkpoint.
pub(super) const PARAMETERS: &str = "parameters.safetensors";
pub(super) const OPTIMIZER: &str = "optimizer.safetensors";
/// The best weights so far, with early stopping.
pub(super) const BEST: &str = "best.safetensors";
/// The logs that a checkpoint counts.
pub(super) const LOGS: [&str; 4] = [STEPS, FREEZES, EVALS, STATISTICS];

const RUN: &str = "run.toml";

const PREFIX: &str = "step-";

/// What the checkpoint of a step is called.
fn name_of(step: u64) -> String {
    format!("{PREFIX}{step:08}")
}

/// The step of a checkpoint that is called so.
fn step_of(name: &str) -> Option<u64> {
    let step = name.strip_prefix(PREFIX)?.parse().ok()?;
    (name_of(step) == name).then_some(step)
}
