//! Checkpoints: everything that a run depends on, in a folder per step, from which it resumes bit by bit.
//!
//! `checkpoints/step-00000120/` of a run's folder contains the trainable parameters (`parameters.safetensors`), the
//! optimizer with everything that has frozen (`optimizer.safetensors`), with early stopping the best weights so far
//! (`best.safetensors`), and the rest with the checksums of the others (`run.toml`).
//! The order of the data is a function of the seed, so the step is its position.

mod find;
mod layout;
mod rng;
mod run_toml;
mod snapshot;
mod write;
mod writer;

pub(crate) use find::{Found, last_step, newest};
pub use find::{Newest, newest_checkpoint};
pub(crate) use layout::{BEST, FOLDER, OPTIMIZER, PARAMETERS};
pub(crate) use rng::generators;
pub(crate) use run_toml::RunToml;
pub(crate) use snapshot::Snapshot;
pub(crate) use writer::Writer;
