//! `finetune runs`.

mod listed;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::output::{print, print_text};
use listed::list;

/// The options.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The folder of the runs
    #[arg(value_name = "FOLDER", default_value = "runs")]
    folder: PathBuf,
    /// A JSON list of objects instead of a table
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let runs = list(&arguments.folder)?;
    if arguments.json {
        print(&(serde_json::to_string_pretty(&runs)? + "\n"))?;
    } else {
        print_text(&table::text(&runs))?;
    }
    Ok(ExitCode::SUCCESS)
}
