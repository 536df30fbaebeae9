//! `finetune config`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

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
    // The reader may have closed the pipe (`finetune config | head`).
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}
