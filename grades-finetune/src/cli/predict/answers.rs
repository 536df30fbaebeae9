//! Predicts answers of a decoder.

use anyhow::{Result, bail};
use grades_models::decoder::LoadOptions;
use serde_json::json;

use super::lines::{Lines, cell};
use super::{Arguments, OutputFormat};
use crate::predict::{Answerer, ModelFiles, load_decoder};

/// The longest answer unless the user gives another.
const LONGEST: usize = 64;
/// Prompts that are answered together, likewise.
const BATCH: u16 = 16;

pub(super) fn run(arguments: &Arguments, files: &ModelFiles) -> Result<()> {
    for (name, given) in [
        ("--pairs", arguments.pairs),
        ("--text-pair", arguments.text_pair.is_some()),
        ("--max-tokens", arguments.max_tokens.is_some()),
    ] {
        if given {
            bail!("{name} is for classifiers; {} is a decoder", files.base.display());
        }
    }
    let mut prompts = arguments.open(files, true)?;
    let options = LoadOptions {
        device: arguments.device.device()?,
        dtype: arguments.dtype.kind(),
        ..LoadOptions::default()
    };
    let model = load_decoder(files, options)?;
    let batch_size = arguments.batch_size.unwrap_or(BATCH).into();
    let options = arguments.answers.options(LONGEST, batch_size, arguments.chat);
    let mut answerer = Answerer::new(model, files, options)?;
    let mut out = Lines::open();
    let format = arguments.format.unwrap_or(OutputFormat::Text);
    if format == OutputFormat::Tsv {
        out.row("answer")?;
    }
    let done = answerer.answer_all(&mut prompts, &mut |prompt, answer| match format {
        OutputFormat::Text => out.text(&answer.text),
        OutputFormat::Tsv => out.row(&cell(&answer.text)),
        OutputFormat::Jsonl => {
            let line = json!({"prompt": prompt.text, "answer": answer.text, "ids": answer.ids});
            out.row(&line.to_string())
        }
    });
    // What was answered before an error is written.
    let written = out.finish();
    done?;
    written
}
