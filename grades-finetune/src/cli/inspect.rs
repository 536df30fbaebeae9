//! `finetune inspect`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::output::{print, print_text};
use crate::report::{Analysis, RunData, inspection_json, inspection_text};

/// The options.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The folder of a run
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
    /// A line for each event, also for those that happened together for one reason
    #[arg(long, conflicts_with = "json")]
    each: bool,
    /// The characters in a line (those of the terminal, or of COLUMNS; else 100)
    #[arg(long, value_name = "CHARACTERS", value_parser = clap::value_parser!(u16).range(20..))]
    width: Option<u16>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let run = RunData::read(&arguments.run)?;
    let analysis = Analysis::new(&run);
    let text = if arguments.json {
        serde_json::to_string_pretty(&inspection_json(&analysis))? + "\n"
    } else {
        inspection_text(&analysis, arguments.width.unwrap_or_else(width).into(), arguments.each)
    };
    if arguments.json {
        print(&text)?
    } else {
        print_text(&text)?
    }
    Ok(ExitCode::SUCCESS)
}

fn width() -> u16 {
    let given = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let seen = terminal_size::terminal_size().map(|(width, _)| width.0);
    given.or(seen).unwrap_or(100).max(20)
}
