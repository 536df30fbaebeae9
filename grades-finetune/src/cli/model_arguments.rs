//! The options that name a trained model.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::predict::ModelFiles;

/// The options that name a trained model: its directory, an adapter, or both.
#[derive(Debug, Args)]
pub(super) struct ModelArguments {
    /// A model's directory, or the folder of the run that trained it
    #[arg(long, value_name = "DIR", required_unless_present = "adapter")]
    model: Option<PathBuf>,
    /// An adapter's folder, such as runs/NAME/adapter
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
}

impl ModelArguments {
    /// Finds the model's files.
    ///
    /// # Errors
    ///
    /// When they are not there, or the adapter names no base.
    pub(super) fn files(&self) -> Result<ModelFiles> {
        ModelFiles::find(self.model.as_deref(), self.adapter.as_deref())
    }
}
