//! `finetune train`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
#[cfg(target_os = "linux")]
use std::time::Duration;

#[cfg(target_os = "linux")]
use anyhow::bail;
use anyhow::{Context, Result};
use clap::Args;
#[cfg(target_os = "linux")]
use grades::distributed::Launcher;
use toml::Value;

use super::key_options::KeyOptions;
use super::output::{print_text, tell};
use crate::causes::with_causes;
#[cfg(target_os = "linux")]
use crate::config::CacheMode;
use crate::config::{Document, RunConfig};
use crate::log::summary_table;
use crate::records::{StopReason, freezing_sentence};
use crate::report::write_run_report;
use crate::run::{Interrupt, RunFolder};
use crate::train::{
    NonFiniteError, Resume, RunRanks, dry_run, dry_run_text, follow, resume_in_group, run_configuration,
    train_in_group,
};

/// The options: short forms of the most used keys, and `--set` for all others.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A TOML file; without it the options alone say what to do
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyOptions,
    /// Write no report.html [output.report]
    #[arg(long)]
    no_report: bool,
    /// Write event files for TensorBoard [output.tensorboard]
    #[arg(long)]
    tensorboard: bool,
    /// Print nothing but warnings during the run [output.quiet]
    #[arg(long, short)]
    quiet: bool,
    /// Freeze, with the automatic policy unless the file or --set name another
    #[arg(long, conflicts_with = "no_freezing")]
    freezing: bool,
    /// Train without freezing, whatever the file says
    #[arg(long)]
    no_freezing: bool,
    /// Train LoRA adapters instead of the whole model, and write them to the run's folder adapter/
    #[arg(long, conflicts_with = "no_lora")]
    lora: bool,
    /// Train the whole model, whatever the file says
    #[arg(long)]
    no_lora: bool,
    /// Merge adapters that froze into their base; implies --lora [lora.merge_frozen]
    #[arg(long, conflicts_with = "no_lora")]
    merge_frozen: bool,
    /// Resume a run from its newest whole checkpoint. With a folder: that run, with its configuration unless --config
    /// gives one. Without: the run that the configuration and --name mean, which starts if there is none yet
    #[arg(long, value_name = "RUN", num_args = 0..=1)]
    resume: Option<Option<PathBuf>>,
    /// Resume although the configuration, the data or the model has changed
    #[arg(long, requires = "resume")]
    allow_changes: bool,
    /// End the run when the loss on the examples for evaluation no longer falls, and keep the best weights
    #[arg(long)]
    early_stopping: bool,
    /// Write what the run would do and need, and train nothing: two steps are run and forgotten, and no file is written
    #[arg(long)]
    dry_run: bool,
    /// Set any key, such as freezing.grace=0.3; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Train with this many processes on this machine; gradient_accumulation_steps counts the batches of each
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    nproc: Option<u16>,
    /// Whose variables say which rank this process is
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "LAUNCHER", value_enum, default_value = "torchrun")]
    ranks_from: RanksFrom,
    /// The seconds after which a rank that does not answer ends the run; rank 0 evaluates while the others wait
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "SECONDS", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(1..))]
    rank_timeout: u64,
    /// Exit when standard input ends: for a parent process that may be killed
    #[arg(long, hide = true)]
    while_stdin_is_open: bool,
}

/// The program that started the ranks of a run.
#[cfg(target_os = "linux")]
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum RanksFrom {
    Torchrun,
    Slurm,
    Mpi,
}

impl Arguments {
    /// Connects to the other processes of the run, where a launcher started several.
    ///
    /// Each step then has the batches of all, so the run is that of one process which accumulates over as many.
    #[cfg(target_os = "linux")]
    fn join(&self, config: &mut RunConfig) -> Result<Option<RunRanks>> {
        let launcher = match self.ranks_from {
            RanksFrom::Torchrun => Launcher::Torchrun,
            RanksFrom::Slurm => Launcher::Slurm,
            RanksFrom::Mpi => Launcher::Mpi,
        };
        let ranks = RunRanks::join(launcher, config, Duration::from_secs(self.rank_timeout))?;
        if let Some(ranks) = &ranks {
            // The file in a run's folder counts the batches of all processes already.
            if self.config.is_some() || self.resumed_folder().is_none() {
                config.training.gradient_accumulation_steps *= ranks.world();
            }
            config.output.quiet |= !ranks.leads();
            // Each rank sees other rows in every epoch: what it stores is hardly seen again.
            if config.cache.mode == CacheMode::Always {
                bail!(
                    "freezing.cache.mode = \"always\" is for a run of one process; write \"auto\" or \"never\""
                );
            }
            config.switch_cache_off();
        }
        Ok(ranks)
    }

    #[cfg(not(target_os = "linux"))]
    fn join(&self, _: &mut RunConfig) -> Result<Option<RunRanks>> {
        Ok(None)
    }

    /// Reads the file and sets the options in its document; `--set` comes last.
    fn document(&self) -> Result<Document> {
        let mut document = match (&self.config, self.resumed_folder()) {
            (Some(path), _) => Document::read(path)?,
            (None, Some(run)) => run_configuration(run)?,
            (None, None) => Document::default(),
        };
        self.keys.set_in(&mut document)?;
        for (key, given, value) in [
            ("output.report", self.no_report, false),
            ("output.tensorboard", self.tensorboard, true),
            ("output.quiet", self.quiet, true),
        ] {
            if given {
                document.put(key, value)?;
            }
        }
        if self.merge_frozen {
            document.put("lora.merge_frozen", true)?;
        }
        for assignment in &self.set {
            document.set(assignment)?;
        }
        if self.freezing && !document.table().contains_key("freezing") {
            document.put("freezing", Value::Table(toml::Table::new()))?;
        }
        if self.lora && !document.table().contains_key("lora") {
            document.put("lora", Value::Table(toml::Table::new()))?;
        }
        if self.early_stopping && !document.table().contains_key("early_stopping") {
            document.put("early_stopping", Value::Table(toml::Table::new()))?;
        }
        if self.no_lora {
            document.remove("lora");
        }
        if self.no_freezing {
            document.remove("freezing");
        }
        let notes = document.rename_old_keys();
        // The file in a run's folder is the program's own.
        if self.config.is_some() || !self.set.is_empty() || !self.keys.is_empty() {
            super::warn(&notes);
        }
        Ok(document)
    }

    /// Returns the folder that was given to `--resume`.
    fn resumed_folder(&self) -> Option<&Path> {
        self.resume.as_ref()?.as_deref()
    }

    /// Finds the folder of the run to go on with, if there is one.
    fn run_to_resume(&self, config: &RunConfig) -> Result<Option<PathBuf>> {
        if self.resume.is_none() {
            return Ok(None);
        }
        if let Some(run) = self.resumed_folder() {
            return Ok(Some(run.to_owned()));
        }
        let output = &config.output;
        let run = match &output.name {
            Some(name) => Some(output.folder.join(name)).filter(|run| run.exists()),
            None => RunFolder::last_numbered(&output.folder, &self.default_name()),
        };
        Ok(run)
    }

    /// Returns the name of a run without `output.name`.
    fn default_name(&self) -> String {
        let stem = self.config.as_deref().and_then(|path| path.file_stem());
        stem.map_or_else(|| "run".to_owned(), |stem| stem.to_string_lossy().into_owned())
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.while_stdin_is_open {
        super::end_with_stdin();
    }
    let mut config = RunConfig::read(arguments.document()?.table())?;
    if arguments.dry_run {
        return plan(arguments, config);
    }
    #[cfg(target_os = "linux")]
    if let Some(count) = arguments.nproc {
        return super::launch::launch(count.into(), Duration::from_secs(arguments.rank_timeout));
    }
    let interrupt = Interrupt::listen()?;
    let ranks = arguments.join(&mut config)?;
    if let Some(ranks) = ranks.as_ref().filter(|ranks| !ranks.leads()) {
        return Ok(ExitCode::from(follow(&config, &interrupt, ranks)?));
    }
    let ranks = ranks.as_ref();
    let outcome = match arguments.run_to_resume(&config)? {
        Some(folder) => {
            let how = Resume { folder: &folder, allow_changes: arguments.allow_changes };
            match resume_in_group(&config, &how, &interrupt, ranks) {
                Ok(Some(outcome)) => Ok(outcome),
                Ok(None) => {
                    ranks.map_or(Ok(()), RunRanks::dismiss)?;
                    return has_ended(&folder, config.output.report);
                }
                Err(error) => Err(error),
            }
        }
        None => train_in_group(&config, &arguments.default_name(), &interrupt, ranks),
    };
    let mut outcome = match outcome {
        Err(error) if error.is::<NonFiniteError>() => {
            tell(&format!("error: {error}"));
            return Ok(ExitCode::from(StopReason::NonFinite.exit_code()));
        }
        outcome => outcome?,
    };
    if config.output.report
        && let Err(error) = write_run_report(&outcome.folder)
    {
        outcome.warnings.push(format!("there is no report.html: {}", with_causes(&error)));
    }
    // The run is done and saved, whether or not its table can be printed.
    let mut text = summary_table(&outcome.summary, &outcome.folder);
    if config.freezing.is_some() {
        text += &format!("{}\n", freezing_sentence(&outcome.summary));
    }
    if let Err(error) = print_text(&text) {
        outcome.warnings.push(error.to_string());
    }
    super::warn(&outcome.notes);
    super::warn(&outcome.warnings);
    Ok(if outcome.summary.ended == StopReason::Interrupted {
        ExitCode::from(StopReason::Interrupted.exit_code())
    } else if outcome.warnings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Prints what the run would do and need.
fn plan(arguments: &Arguments, mut config: RunConfig) -> Result<ExitCode> {
    #[cfg(target_os = "linux")]
    let processes = usize::from(arguments.nproc.unwrap_or(1));
    #[cfg(not(target_os = "linux"))]
    let processes = 1;
    // The file in a run's folder counts the batches of all processes already.
    if arguments.config.is_some() || arguments.resumed_folder().is_none() {
        config.training.gradient_accumulation_steps *= processes;
    }
    let folder = arguments.run_to_resume(&config)?;
    let how = folder.as_deref().map(|folder| Resume { folder, allow_changes: arguments.allow_changes });
    print_text(&dry_run_text(&dry_run(&config, how.as_ref(), processes)?))?;
    Ok(ExitCode::SUCCESS)
}

/// Reports a run that has ended, and writes its report where that is missing.
fn has_ended(run: &Path, report: bool) -> Result<ExitCode> {
    let folder = run.display();
    tell(&format!("the run {folder} has ended: there is nothing to resume"));
    if report && !run.join("report.html").exists() {
        write_run_report(run).with_context(|| format!("{folder} has no report.html"))?;
        tell("its report.html was missing, and is written now");
    }
    Ok(ExitCode::SUCCESS)
}
