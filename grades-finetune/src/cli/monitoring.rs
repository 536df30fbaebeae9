//! `finetune monitoring`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::output::print;
use crate::bench::measure_overhead;
use crate::config::{Document, RunConfig};
use crate::run::Interrupt;

/// The options: the configuration, and the number of steps.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A TOML file as for `train`, with a [freezing] table
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Steps, half of them with the policy
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(2..))]
    steps: u32,
    /// Set any key, such as training.batch_size=8; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Exit when standard input ends: for a parent process that may be killed
    #[arg(long, hide = true)]
    while_stdin_is_open: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.while_stdin_is_open {
        super::end_with_stdin();
    }
    let mut document = Document::read(&arguments.config)?;
    for assignment in &arguments.set {
        document.set(assignment)?;
    }
    super::warn(&document.rename_old_keys());
    let config = RunConfig::read(document.table())?;
    let steps = usize::try_from(arguments.steps)?;
    let measured = measure_overhead(&config, steps, &Interrupt::listen()?)?;
    print(&(serde_json::to_string(&measured)? + "\n"))?;
    Ok(ExitCode::SUCCESS)
}
