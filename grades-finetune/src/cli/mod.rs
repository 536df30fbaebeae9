//! The command line of `finetune`.

mod chat;
mod compare;
mod completions;
mod config;
mod convert;
mod doctor;
mod evaluate;
mod export;
mod generate;
mod inspect;
mod key_options;
#[cfg(target_os = "linux")]
mod launch;
mod logits;
mod man;
mod merge;
mod model_arguments;
mod monitoring;
mod output;
mod policies;
mod predict;
mod report;
mod runs;
mod sampling;
mod train;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Error};
use clap::{CommandFactory, Parser, Subcommand};

use crate::causes::with_causes;
use crate::data::is_guarded;
use crate::data::sequence::{COMMAND, end_idle_process, isolate_templates, serve};
use crate::records::StopReason;
use crate::run::survive_limits;

/// Fine-tunes transformers on libtorch and freezes each weight matrix once it has converged.
#[derive(Debug, Parser)]
#[command(
    name = "finetune",
    version,
    about,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 ended by the guard against bad \
                  numbers, 130 interrupted by a signal (3 and 130 leave a checkpoint)."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fine-tune a model as a TOML file configures it; options override its keys
    Train(Box<train::Arguments>),
    /// Compare ways to train: in full, with early stopping, with freezing, with adapters, over several seeds
    Compare(compare::Arguments),
    /// Measure by how much monitoring gradients lengthens a step, and print it as JSON
    Monitoring(monitoring::Arguments),
    /// Measure a trained model on labelled data: accuracy, F1, confusion matrix, loss and more
    Evaluate(evaluate::Arguments),
    /// Predict with a trained model: labels of texts with a classifier, answers to prompts with a decoder
    Predict(predict::Arguments),
    /// Have a conversation with a decoder in the terminal
    Chat(chat::Arguments),
    /// Show when each component of a run froze, why, and what that saved; works while it still goes on
    Inspect(inspect::Arguments),
    /// Write a page, or pictures, of a run, of several, or of a comparison
    Report(report::Arguments),
    /// List the runs of a folder: state, steps, score, components frozen, time
    Runs(runs::Arguments),
    /// Write a log of a run as CSV: its steps, its evaluations, or what froze
    Export(export::Arguments),
    /// Print all keys of a configuration as commented TOML, with their defaults
    Config(config::Arguments),
    /// List the freeze policies that are linked, with their keys
    Policies,
    /// Write the logits that a model directory, with or without an adapter, gives for token ids
    Logits(logits::Arguments),
    /// Continue prompts with a decoder, each time by the most likely token
    Generate(generate::Arguments),
    /// Write a decoder's directory in another dtype, or in files of another size
    Convert(convert::Arguments),
    /// Merge an adapter into its base and write a plain model directory
    Merge(merge::Arguments),
    /// Show which libtorch, devices and kernels this program sees
    Doctor(doctor::Arguments),
    /// Print the completions of a shell
    Completions(completions::Arguments),
    /// Print the manual page of the program or of a command, or write all of them
    Man(man::Arguments),
}

/// Prints warnings to standard error.
fn warn(warnings: &[String]) {
    for warning in warnings {
        output::tell(&format!("warning: {warning}"));
    }
}

/// Exits this process when its standard input is closed, or the process at its other end is gone.
fn end_with_stdin() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(StopReason::Interrupted.exit_code().into());
    });
}

/// Runs the program on this process's arguments.
pub fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|command| command == COMMAND) {
        serve();
        return ExitCode::SUCCESS;
    }
    isolate_templates(&own_program());
    // Panics of libraries on files that make no sense become errors, which say it all.
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !is_guarded() {
            default(panic);
        }
    }));
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refused(&error),
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("GRADES_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let done = survive_limits().context("cannot handle signals").and_then(|()| match arguments.command {
        Command::Train(arguments) => train::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Monitoring(arguments) => monitoring::run(&arguments),
        Command::Evaluate(arguments) => evaluate::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Chat(arguments) => chat::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Runs(arguments) => runs::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::Policies => policies::run(),
        Command::Logits(arguments) => logits::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Convert(arguments) => convert::run(&arguments),
        Command::Merge(arguments) => merge::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments, Arguments::command()),
        Command::Man(arguments) => man::run(&arguments, Arguments::command()),
    });
    end_idle_process();
    done.unwrap_or_else(|error| failed(&error))
}

/// Returns the path of the running program. Linux has one that stands for the same file after the program was replaced.
fn own_program() -> PathBuf {
    let own = Path::new("/proc/self/exe");
    if own.exists() { own.to_path_buf() } else { std::env::current_exe().unwrap_or_default() }
}

/// Prints the error of a command.
fn failed(error: &Error) -> ExitCode {
    output::tell(&format!("error: {}", with_causes(error)));
    ExitCode::FAILURE
}

/// Prints the help or the version that was asked for, or the mistake in the arguments.
fn refused(error: &clap::Error) -> ExitCode {
    if error.use_stderr() || std::io::stdout().is_terminal() {
        // With colours, where the terminal has some.
        let _ = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    }
    output::print(&error.render().to_string()).map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
}
