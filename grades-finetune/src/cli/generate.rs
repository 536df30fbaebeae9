//! `finetune generate`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::output::Output;
use crate::config::{DeviceChoice, Dtype};
use crate::data::sequence::{ChatTemplate, Date, EncodeOptions, Encoder, TooLong, Turns, Vocabulary};
use crate::predict::base_of;
use crate::printable::printable_lines;
use grades_models::Family;
use grades_models::decoder::{Decoder, Generation, LoadOptions};

/// The options.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The directory of a decoder; may be left out where the adapter names one
    #[arg(long, value_name = "DIR", required_unless_present = "adapter")]
    model: Option<PathBuf>,
    /// An adapter's folder, such as runs/NAME/adapter
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// A prompt; may be given several times
    #[arg(long, value_name = "TEXT")]
    prompt: Vec<String>,
    /// Prompts, one a line
    #[arg(long, value_name = "FILE")]
    prompts: Option<PathBuf>,
    /// Put each prompt through the model's chat template, as a turn of the user
    #[arg(long)]
    chat: bool,
    /// The date that the chat template writes as today's, such as 2026-01-31
    #[arg(long, value_name = "DATE")]
    date: Option<Date>,
    /// The longest answer, in tokens
    #[arg(long, default_value_t = 64, value_name = "TOKENS")]
    max_new_tokens: usize,
    /// One JSON object a line with `prompt`, `answer` and `ids`, instead of the answers alone
    #[arg(long)]
    json: bool,
    /// The dtype of the model: f32 or bf16
    #[arg(long, alias = "kind", default_value = "f32")]
    dtype: Dtype,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let prompts = prompts(arguments)?;
    let base = match &arguments.adapter {
        Some(adapter) => base_of(adapter, arguments.model.as_deref())?,
        None => arguments.model.clone().context("--model is missing")?,
    };
    if Family::of(&base)? == Family::Bert {
        bail!("{} is a classifier, which generates nothing", base.display());
    }
    let options = LoadOptions {
        device: arguments.device.device()?,
        dtype: arguments.dtype.kind(),
        ..LoadOptions::default()
    };
    let model = match &arguments.adapter {
        Some(adapter) => Decoder::load_adapted(&base, adapter, options)?.0,
        None => Decoder::load(&base, options)?.0,
    };
    let encoder = Encoder {
        vocabulary: Vocabulary::load(&base.join("tokenizer.json"), model.vocab_size())?,
        template: if arguments.chat {
            ChatTemplate::load(&base)?.map(|template| template.with_date(arguments.date))
        } else {
            None
        },
        end: None,
        options: EncodeOptions {
            max_tokens: usize::try_from(model.max_positions())?,
            too_long: TooLong::Refuse,
            turns: Turns::All,
            chat: arguments.chat,
        },
    };
    let mut encoded: Vec<Vec<i64>> = Vec::with_capacity(prompts.len());
    for prompt in &prompts {
        let ids = encoder.prompt(prompt).with_context(|| format!("the prompt \"{prompt}\""))?;
        encoded.push(ids.into_iter().map(i64::from).collect());
    }
    let generation =
        Generation { max_new_tokens: arguments.max_new_tokens, stop: model.stop_ids(), batch_size: 16 };
    let answers = model.generate(&encoded, &generation)?;
    let mut out = Output::open();
    for (prompt, ids) in prompts.iter().zip(answers) {
        let known: Vec<u32> = ids.iter().filter_map(|&id| u32::try_from(id).ok()).collect();
        let answer = encoder.vocabulary.decode(&known)?;
        if arguments.json {
            let line = serde_json::json!({"prompt": prompt, "answer": answer, "ids": ids});
            writeln!(out, "{line}")?;
        } else {
            // What a file gets is exact, a terminal obeys control characters.
            let shown =
                if std::io::stdout().is_terminal() { printable_lines(&answer) } else { answer.into() };
            writeln!(out, "{shown}")?;
        }
    }
    out.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// Reads the prompts of the command line, then those of the file.
fn prompts(arguments: &Arguments) -> Result<Vec<String>> {
    let mut prompts = arguments.prompt.clone();
    if let Some(path) = &arguments.prompts {
        let text = grades_lora::read_regular_text(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        prompts.extend(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned));
    }
    if prompts.is_empty() {
        bail!("no prompt: give --prompt TEXT, or --prompts FILE with one a line");
    }
    Ok(prompts)
}
