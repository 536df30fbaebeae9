//! `finetune report`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use super::output::Output;
use crate::printable::printable;
use crate::report::{Subject, write, write_page};

/// The options.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The folder of a run, or several to compare; or a compare.json, or the folder that has one
    #[arg(required = true, value_name = "RUN")]
    paths: Vec<PathBuf>,
    /// The page to write; one that is there is replaced (report.html in the folder of one run or comparison)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write each picture as an SVG file into this folder, instead of a page unless --out is given too
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let subject = Subject::read(&arguments.paths)?;
    let mut written = Vec::new();
    if let Some(folder) = &arguments.pictures {
        written = subject.write_pictures(folder)?;
        if written.is_empty() {
            bail!("there is nothing to draw: no step, no check and no evaluation has been logged");
        }
    }
    if arguments.pictures.is_none() || arguments.out.is_some() {
        let path = match (&arguments.out, arguments.paths.as_slice()) {
            (Some(path), _) => path.clone(),
            (None, [one]) if one.is_dir() => one.join("report.html"),
            (None, [one]) => one.with_file_name("report.html"),
            (None, _) => bail!("--out is missing: where is the page of several runs to go?"),
        };
        let page = subject.page()?;
        if arguments.out.is_some() {
            write_page(&path, &page)?
        } else {
            write(&path, &page)?
        }
        written.push(path);
    }
    let mut out = Output::open();
    for path in written {
        writeln!(out, "wrote {}", printable(&path.display().to_string()))?;
    }
    out.finish()?;
    Ok(ExitCode::SUCCESS)
}
