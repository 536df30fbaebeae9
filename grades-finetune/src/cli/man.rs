//! `finetune man`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Command};
use clap_mangen::Man;

use super::output::{Output, print};
use crate::storage::write_named;

/// The options.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The command whose page goes to standard output; without it, the page of the program
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    command: Option<String>,
    /// Write the pages of the program and of all its commands into this folder, which must exist; pages that are there are
    /// replaced
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, mut program: Command) -> Result<ExitCode> {
    // Gives each command the name of its page, such as finetune-train.
    program.build();
    let commands: Vec<Command> = program
        .get_subcommands()
        .filter(|command| command.get_name() != "help" && !command.is_hide_set())
        .cloned()
        .collect();
    if let Some(folder) = &arguments.out {
        let mut out = Output::open();
        for command in std::iter::once(program).chain(commands) {
            let man = Man::new(command);
            let path = folder.join(man.get_filename());
            write_named(&path, &page(&man)?).map_err(|error| anyhow::anyhow!("cannot write {error}"))?;
            writeln!(out, "wrote {}", path.display())?;
        }
        out.finish()?;
        return Ok(ExitCode::SUCCESS);
    }
    let command = match &arguments.command {
        None => program,
        Some(name) => match commands.iter().find(|command| command.get_name() == name) {
            Some(command) => command.clone(),
            None => {
                let names: Vec<&str> = commands.iter().map(Command::get_name).collect();
                bail!("there is no command {name}; there are {}", names.join(", "));
            }
        },
    };
    print(&String::from_utf8_lossy(&page(&Man::new(command))?))?;
    Ok(ExitCode::SUCCESS)
}

fn page(man: &Man) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render(&mut page).context("writing a manual page")?;
    Ok(page)
}
