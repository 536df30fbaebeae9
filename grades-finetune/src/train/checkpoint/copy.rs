//! What is copied between two steps, so that another thread can write it while the run goes on.

use std::fs::File;

use anyhow::{Context, Result};
use grades::freezing::SavedState;
use grades::parameters::Parameters;
use tch::{Device, Tensor};

use super::state::RunState;

/// A checkpoint in memory.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(super) state: RunState,
    pub(super) optimizer: SavedState,
    /// On the host, and shared with nobody.
    pub(super) parameters: Vec<(String, Tensor)>,
    /// The best weights so far, on the host and shared with nobody; none without early stopping.
    pub(super) best: Vec<(String, Tensor)>,
    /// The logs, whose lines must be on the disk before the checkpoint that counts them.
    pub(super) logs: Vec<File>,
}

impl Copied {
    pub(crate) fn new(
        state: RunState,
        optimizer: SavedState,
        parameters: &Parameters,
        best: Vec<(String, Tensor)>,
        logs: Vec<File>,
    ) -> Result<Self> {
        let parameters =
            parameters.iter().map(|(_, parameter)| (parameter.name().to_owned(), parameter.tensor()));
        let parameters = parameters.map(|(name, tensor)| Ok((name, copied(tensor)?)));
        let parameters =
            parameters.collect::<Result<Vec<_>, tch::TchError>>().context("copying the parameters")?;
        let best = best.into_iter().map(|(name, tensor)| Ok((name, copied(&tensor)?)));
        let best = best.collect::<Result<Vec<_>, tch::TchError>>().context("copying the best weights")?;
        Ok(Self { state, optimizer, parameters, best, logs })
    }
}

/// A copy on the host that shares nothing with the tensor.
fn copied(tensor: &Tensor) -> Result<Tensor, tch::TchError> {
    tensor.f_detach()?.f_to_device_(Device::Cpu, tensor.f_kind()?, false, true)
}
