//! `finetune export`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::output::{Output, tell};
use crate::records::{EVALS, FREEZES, STEPS};
use crate::report::write_csv;

/// The options.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The log to write
    #[arg(value_name = "LOG")]
    log: Log,
    /// The folder of a run
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The file to write, which must not exist yet (standard output)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A log of a run.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Log {
    /// A row an optimizer step
    Steps,
    /// A row an evaluation
    Evaluations,
    /// A row for each component that cools, freezes or thaws
    Freezes,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let name = match arguments.log {
        Log::Steps => STEPS,
        Log::Evaluations => EVALS,
        Log::Freezes => FREEZES,
    };
    let log = arguments.run.join(name);
    if !log.exists() {
        bail!(
            "{} has no {name}; expected the folder of a run, as finetune train writes it",
            arguments.run.display()
        );
    }
    match &arguments.out {
        None => {
            let mut out = BufWriter::new(Output::open());
            write_csv(&log, &mut out)?;
            out.flush()?;
        }
        Some(path) => {
            let cannot = || format!("cannot write {}", path.display());
            let mut out = BufWriter::new(File::create_new(path).with_context(cannot)?);
            let written = write_csv(&log, &mut out).and_then(|()| out.flush().with_context(cannot));
            if written.is_err() {
                // Half a table is of no use; the error says why there is none.
                let _ = std::fs::remove_file(path);
            }
            written?;
            tell(&format!("wrote {}", path.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}
