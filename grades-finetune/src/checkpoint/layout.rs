//! The names of a checkpoint's folder and files.

/// The folder of all checkpoints of a run, in the run's folder.
pub(crate) const FOLDER: &str = "checkpoints";

/// The file of the trainable parameters.
pub(crate) const PARAMETERS: &str = "parameters.safetensors";
/// The file of the optimizer.
pub(crate) const OPTIMIZER: &str = "optimizer.safetensors";
/// The file of the best weights so far, with early stopping.
pub(crate) const BEST: &str = "best.safetensors";

/// The file of everything else.
pub(super) const RUN: &str = "run.toml";

const PREFIX: &str = "step-";

/// Returns the name of the checkpoint of a step.
pub(super) fn name_of(step: u64) -> String {
    format!("{PREFIX}{step:08}")
}

/// Returns the step of the checkpoint with this name.
pub(super) fn step_of(name: &str) -> Option<u64> {
    let step = name.strip_prefix(PREFIX)?.parse().ok()?;
    (name_of(step) == name).then_some(step)
}
