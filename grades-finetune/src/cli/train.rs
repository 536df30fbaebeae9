//! `finetune train`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use toml::Value;

use crate::config::{Document, RunConfig};
use crate::log::summary_table;
use crate::records::StopReason;
use crate::run::{Interrupt, RunFolder};
use crate::train::{NonFiniteError, Resume, resume, train};

/// The options: short forms of the most used keys, and `--set` for all others.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A TOML file; without it the options alone say what to do
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A Hugging Face model directory (model.path)
    #[arg(long, value_name = "DIR")]
    model: Option<String>,
    /// The training examples (data.train)
    #[arg(long, value_name = "FILE")]
    train: Option<String>,
    /// The examples for evaluation (data.eval)
    #[arg(long, value_name = "FILE")]
    eval: Option<String>,
    /// Examples that are evaluated once, at the end (data.test)
    #[arg(long, value_name = "FILE")]
    test: Option<String>,
    /// The run's folder (output.name)
    #[arg(long)]
    name: Option<String>,
    /// The folder of all runs (output.folder)
    #[arg(long, value_name = "DIR")]
    output: Option<String>,
    /// Write no report.html (output.report)
    #[arg(long)]
    no_report: bool,
    /// Write event files for TensorBoard (output.tensorboard)
    #[arg(long)]
    tensorboard: bool,
    /// Tell nothing but warnings while the run goes on (output.quiet)
    #[arg(long, short)]
    quiet: bool,
    /// Passes over the training examples (training.epochs)
    #[arg(long)]
    epochs: Option<String>,
    /// No more optimizer steps than this (training.max_steps)
    #[arg(long)]
    max_steps: Option<String>,
    /// Examples in a forward pass (training.batch_size)
    #[arg(long)]
    batch_size: Option<String>,
    /// Batches in an optimizer step (training.accumulate)
    #[arg(long)]
    accumulate: Option<String>,
    /// The highest learning rate (optimizer.lr)
    #[arg(long)]
    lr: Option<String>,
    /// Longer sentences are cut (data.max_tokens)
    #[arg(long)]
    max_tokens: Option<String>,
    /// Evaluate every so many steps as well (training.eval_every)
    #[arg(long, value_name = "STEPS")]
    eval_every: Option<String>,
    /// Seed of everything that is drawn (training.seed)
    #[arg(long)]
    seed: Option<String>,
    /// auto, cpu, cuda or cuda:N (model.device)
    #[arg(long)]
    device: Option<String>,
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
    /// The adapters' rank (lora.r); implies --lora
    #[arg(long, value_name = "R", conflicts_with = "no_lora")]
    lora_rank: Option<String>,
    /// The adapters' alpha (lora.lora_alpha); implies --lora
    #[arg(long, value_name = "ALPHA", conflicts_with = "no_lora")]
    lora_alpha: Option<String>,
    /// Merge adapters that froze into their base (lora.merge_frozen); implies --lora
    #[arg(long, conflicts_with = "no_lora")]
    merge_frozen: bool,
    /// Write a checkpoint every so many steps (checkpoint.every)
    #[arg(long, value_name = "STEPS")]
    save_every: Option<String>,
    /// Keep so many of the newest checkpoints (checkpoint.keep)
    #[arg(long, value_name = "COUNT")]
    keep: Option<String>,
    /// Go on with a run from its newest whole checkpoint. With a folder, with that run, whose configuration is taken
    /// unless --config gives one; without, with the run that the configuration and --name mean, which begins if there is
    /// none yet
    #[arg(long, value_name = "RUN", num_args = 0..=1)]
    resume: Option<Option<PathBuf>>,
    /// Resume although the configuration, the data or the model has changed
    #[arg(long, requires = "resume")]
    allow_changes: bool,
    /// End the run when the loss on the examples for evaluation no longer falls, and keep the best weights
    #[arg(long)]
    early_stopping: bool,
    /// Set any key, such as freezing.grace=0.3; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// End as soon as standard input does: for whoever starts this program and may be killed
    #[arg(long, hide = true)]
    while_stdin_is_open: bool,
}

impl Arguments {
    /// The file's document with the options put in; `--set` comes last.
    fn document(&self) -> Result<Document> {
        let mut document = match (&self.config, self.resumed_folder()) {
            (Some(path), _) => Document::read(path)?,
            (None, Some(run)) => {
                let path = run.join("config.toml");
                if !path.exists() {
                    bail!("{} is no run's folder: it has no config.toml", run.display());
                }
                Document::read(&path)?
            }
            (None, None) => Document::default(),
        };
        let texts = [
            ("model.path", &self.model),
            ("data.train", &self.train),
            ("data.eval", &self.eval),
            ("data.test", &self.test),
            ("output.name", &self.name),
            ("output.folder", &self.output),
            ("model.device", &self.device),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                document.put(key, Value::String(text.clone()))?;
            }
        }
        let values = [
            ("training.epochs", &self.epochs),
            ("training.max_steps", &self.max_steps),
            ("training.batch_size", &self.batch_size),
            ("training.accumulate", &self.accumulate),
            ("optimizer.lr", &self.lr),
            ("data.max_tokens", &self.max_tokens),
            ("training.eval_every", &self.eval_every),
            ("training.seed", &self.seed),
            ("checkpoint.every", &self.save_every),
            ("checkpoint.keep", &self.keep),
            ("lora.r", &self.lora_rank),
            ("lora.lora_alpha", &self.lora_alpha),
        ];
        for (key, value) in values {
            if let Some(value) = value {
                document.set(&format!("{key}={value}"))?;
            }
        }
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
        Ok(document)
    }

    /// The folder that was given to `--resume`.
    fn resumed_folder(&self) -> Option<&Path> {
        self.resume.as_ref()?.as_deref()
    }

    /// The folder of the run to go on with, if there is one.
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

    /// What the run is called when nothing else says so.
    fn default_name(&self) -> String {
        let stem = self.config.as_deref().and_then(|path| path.file_stem());
        stem.map_or_else(|| "run".to_owned(), |stem| stem.to_string_lossy().into_owned())
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.while_stdin_is_open {
        super::end_with_stdin();
    }
    let config = RunConfig::read(arguments.document()?.table())?;
    let outcome = match arguments.run_to_resume(&config)? {
        Some(folder) => {
            let how = Resume { folder: &folder, allow_changes: arguments.allow_changes };
            match resume(&config, &how, &Interrupt::listen()?) {
                Ok(Some(outcome)) => Ok(outcome),
                Ok(None) => {
                    let folder = folder.display();
                    let _ =
                        writeln!(std::io::stderr(), "the run {folder} has ended: there is nothing to resume");
                    return Ok(ExitCode::SUCCESS);
                }
                Err(error) => Err(error),
            }
        }
        None => train(&config, &arguments.default_name(), &Interrupt::listen()?),
    };
    let outcome = match outcome {
        Err(error) if error.is::<NonFiniteError>() => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            return Ok(ExitCode::from(StopReason::NonFinite.exit_code()));
        }
        outcome => outcome?,
    };
    // The run is done and saved, whether or not anybody still reads.
    let _ = write!(std::io::stdout(), "{}", summary_table(&outcome.summary, &outcome.folder));
    for warning in &outcome.warnings {
        let _ = writeln!(std::io::stderr(), "warning: {warning}");
    }
    Ok(if outcome.summary.ended == StopReason::Interrupted {
        ExitCode::from(StopReason::Interrupted.exit_code())
    } else if outcome.warnings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
