//! The command line of `finetune`.

mod doctor;
mod logits;
mod policies;
mod train;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Fine-tunes transformers on libtorch and freezes each weight matrix once it has converged.
#[derive(Debug, Parser)]
#[command(
    name = "finetune",
    version,
    about,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (what was trained is saved)."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fine-tune a model as a TOML file says, every key of which an option can override
    Train(Box<train::Arguments>),
    /// List the freeze policies that are linked, with their keys
    Policies,
    /// Write the logits that a model directory gives for token ids
    Logits(logits::Arguments),
    /// Show which libtorch, devices and kernels this program sees
    Doctor,
}

/// Runs the program on this process's arguments.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("GRADES_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let done: Result<ExitCode> = match arguments.command {
        Command::Train(arguments) => train::run(&arguments),
        Command::Policies => policies::run(),
        Command::Logits(arguments) => logits::run(&arguments),
        Command::Doctor => doctor::run(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
