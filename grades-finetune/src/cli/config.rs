//! `finetune config`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::output::print;
use crate::config::reference;

/// The form of the reference.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print a Markdown page instead of TOML
    #[arg(long)]
    markdown: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let text = if arguments.markdown { reference::markdown()? } else { reference::toml()? };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
