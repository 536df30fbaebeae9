//! `finetune evaluate`.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::model_arguments::ModelArguments;
use super::output::{print, print_text, tell};
use crate::config::Document;
use crate::predict::{EvaluateOptions, evaluate_file};
use crate::records::{ClassResults, Evaluation, Metric};
use crate::train::run_configuration;

/// The options.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// The labelled examples, or those of a decoder
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// The settings of a run, such as its config.toml; the model's own run by default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set any key, such as data.max_tokens=128; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let files = arguments.model.files()?;
    let mut document = match (&arguments.config, files.run()) {
        (Some(path), _) => Document::read(path)?,
        (None, Some(run)) => {
            tell(&format!("settings: {}", run.join("config.toml").display()));
            run_configuration(run)?
        }
        (None, None) => Document::default(),
    };
    if let Some(device) = &arguments.device {
        document.put("model.device", device.clone())?;
    }
    for assignment in &arguments.set {
        document.set(assignment)?;
    }
    super::warn(&document.rename_old_keys());
    let evaluation = evaluate_file(&files, &arguments.data, &EvaluateOptions { document })?;
    if arguments.json {
        print(&(serde_json::to_string(&evaluation)? + "\n"))?;
    } else {
        print_text(&text(&evaluation))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the results for people.
fn text(evaluation: &Evaluation) -> String {
    let mut text = format!("{:<20} {}\n", "examples", evaluation.examples);
    for metric in Metric::ALL {
        if let Some(value) = metric.of(evaluation) {
            let _ = writeln!(text, "{:<20} {value:.4}", metric.name().replace('_', " "));
        }
    }
    if let Some(results) = &evaluation.classes {
        text += &classes(results);
    }
    text
}

/// Writes the results by class, and the confusion matrix of few classes.
fn classes(results: &ClassResults) -> String {
    const SHOWN: usize = 12;
    let names: Vec<&str> = results.classes.iter().map(|class| class.label.as_str()).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).clamp(5, 40);
    let mut text =
        format!("\n{:<width$} {:>9} {:>9} {:>9} {:>9}\n", "class", "precision", "recall", "F1", "support");
    for class in &results.classes {
        let _ = writeln!(
            text,
            "{:<width$} {:>9.4} {:>9.4} {:>9.4} {:>9}",
            class.label, class.precision, class.recall, class.f1, class.support
        );
    }
    if let Some(matrix) = results.confusion.as_ref().filter(|matrix| matrix.len() <= SHOWN) {
        let columns: Vec<usize> = names.iter().map(|name| name.chars().count().max(6)).collect();
        let _ = write!(text, "\n{:<width$}", "label");
        for (name, column) in names.iter().zip(&columns) {
            let _ = write!(text, " {name:>column$}");
        }
        text += "  ← predicted\n";
        for (name, row) in names.iter().zip(matrix) {
            let _ = write!(text, "{name:<width$}");
            for (count, column) in row.iter().zip(&columns) {
                let _ = write!(text, " {count:>column$}");
            }
            text.push('\n');
        }
    }
    text
}
