//! `finetune compare`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::output::{print_text, tell};
use crate::compare::{Options, compare, markdown, variants};
use crate::config::{Document, RunConfig};
use crate::records::StopReason;
use crate::report::write_comparison_report;
use crate::run::Interrupt;

/// The options: what is compared, and where the results go.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A TOML file as for `train`: the model, the data and the budget of all rows
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The seeds, with commas between them (compare.seeds)
    #[arg(long, value_name = "SEEDS", value_delimiter = ',')]
    seeds: Option<Vec<u64>>,
    /// The rows, with commas between them: full, full-es, full-grades, lora, lora-es, lora-grades, full-third, full-half, and on
    /// request full-quarter, full-two-thirds, full-four-fifths (compare.rows)
    #[arg(long, value_name = "ROWS", value_delimiter = ',')]
    rows: Option<Vec<String>>,
    /// A TOML file with what is different in one more row, called like the file; may be given several times
    #[arg(long, value_name = "FILE")]
    with: Vec<PathBuf>,
    /// The comparison's folder; a comparison that was cut short goes on in it (compare-CONFIG)
    #[arg(long)]
    name: Option<String>,
    /// The folder of all comparisons (output.folder)
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Keep the models that were trained
    #[arg(long)]
    keep_models: bool,
    /// Set any key of all rows, such as training.epochs=1; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut document = Document::read(&arguments.config)?;
    for assignment in &arguments.set {
        document.set(assignment)?;
    }
    super::warn(&document.rename_old_keys());
    let base = document.table();
    let config = RunConfig::read(base)?;
    if config.data.eval.is_none() {
        bail!("data.eval is missing: a comparison needs examples that it measures by");
    }
    let names = arguments.rows.as_deref().or(config.compare.rows.as_deref());
    let variants = variants(base, names, config.compare.lora_lr, &arguments.with)?;
    let seeds = arguments.seeds.clone().unwrap_or_else(|| config.compare.seeds.clone());
    if let Some(seed) = seeds.iter().enumerate().find(|(at, seed)| seeds.iter().take(*at).any(|s| s == *seed))
    {
        bail!("seed {} is given twice; each must be another", seed.1);
    }
    if i64::try_from(seeds.iter().copied().max().unwrap_or(0)).is_err() {
        bail!("a seed is larger than {}, which TOML has no number for", i64::MAX);
    }
    if seeds.len() == 1 {
        let warning =
            "warning: one seed says nothing about the spread between runs; three are the least to go by";
        tell(warning);
    }
    let stem = arguments.config.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = arguments.name.clone().unwrap_or_else(|| format!("compare-{}", stem.unwrap_or_default()));
    let options = Options {
        base: base.clone(),
        variants,
        seeds,
        folder: arguments.output.clone().unwrap_or_else(|| config.output.folder.clone()).join(name),
        keep_models: arguments.keep_models,
        monitoring_steps: config.compare.monitoring_steps,
        program: std::env::current_exe().context("cannot find this program's file")?,
        command: command(),
    };
    let outcome = compare(&options, &Interrupt::listen()?)?;
    write_comparison_report(&options.folder)?;
    tell(&format!("results in {}", options.folder.display()));
    print_text(&markdown(&outcome.comparison))?;
    Ok(if outcome.interrupted {
        tell("interrupted: the same command goes on from here");
        ExitCode::from(StopReason::Interrupted.exit_code())
    } else if outcome.comparison.failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Writes the command as one would type it.
fn command() -> String {
    let word = |word: String| {
        let plain =
            word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=,:+%".contains(c)) && !word.is_empty();
        if plain { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
    };
    let words = std::env::args_os().skip(1).map(|argument| word(argument.to_string_lossy().into_owned()));
    std::iter::once("finetune".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}
