//! A copy of a run between two steps, so that another thread can write it while the run goes on.

use std::fs::File;
use std::sync::Arc;

use anyhow::{Context, Result};
use grades::freezing::SavedState;
use grades::parameters::Parameters;
use tch::{Device, Tensor};

use super::run_toml::RunToml;

/// A checkpoint in memory.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) run: RunToml,
    pub(crate) optimizer: SavedState,
    /// The trainable parameters, on the host and shared with nobody.
    pub(crate) parameters: Vec<(String, Tensor)>,
    /// The best weights so far, on the host and shared with nobody; empty without early stopping.
    pub(crate) best: Vec<(String, Tensor)>,
    /// The logs, which must reach the disk before the checkpoint that records their lengths.
    pub(crate) logs: Vec<Arc<File>>,
}

impl Snapshot {
    /// Copies the parameters and the best weights.
    pub(crate) fn new(
        run: RunToml,
        optimizer: SavedState,
        parameters: &Parameters,
        best: Vec<(String, Tensor)>,
        logs: Vec<Arc<File>>,
    ) -> Result<Self> {
        let parameters =
            parameters.iter().map(|(_, parameter)| (parameter.name().to_owned(), parameter.tensor()));
        let parameters = parameters.map(|(name, tensor)| Ok((name, copy(tensor)?)));
        let parameters =
            parameters.collect::<Result<Vec<_>, tch::TchError>>().context("copying the parameters")?;
        let best = best.into_iter().map(|(name, tensor)| Ok((name, copy(&tensor)?)));
        let best = best.collect::<Result<Vec<_>, tch::TchError>>().context("copying the best weights")?;
        Ok(Self { run, optimizer, parameters, best, logs })
    }
}

/// Copies a tensor to the host.
fn copy(tensor: &Tensor) -> Result<Tensor, tch::TchError> {
    tensor.f_detach()?.f_to_device_(Device::Cpu, tensor.f_kind()?, false, true)
}
