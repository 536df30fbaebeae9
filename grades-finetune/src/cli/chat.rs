//! `finetune chat`.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use grades_models::Family;
use grades_models::decoder::LoadOptions;

use super::model_arguments::ModelArguments;
use super::output::{Output, tell};
use super::sampling::AnswerArguments;
use crate::causes::with_causes;
use crate::config::{DeviceChoice, Dtype};
use crate::data::sequence::Message;
use crate::predict::{Answerer, load_decoder};
use crate::printable::printable_lines;
use crate::run::Interrupt;

/// The options.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// A text that the model gets before the conversation
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    #[command(flatten)]
    answers: AnswerArguments,
    /// The dtype of the model: f32 or bf16
    #[arg(long, default_value = "f32")]
    dtype: Dtype,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
}

/// The longest answer unless the user gives another.
const LONGEST: usize = 512;

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let files = arguments.model.files()?;
    if Family::of(&files.base)? == Family::Bert {
        bail!(
            "{} is a classifier, which has no answers; finetune predict labels texts",
            files.base.display()
        );
    }
    let options = LoadOptions {
        device: arguments.device.device()?,
        dtype: arguments.dtype.kind(),
        ..LoadOptions::default()
    };
    let model = load_decoder(&files, options)?;
    let mut answerer = Answerer::new(model, &files, arguments.answers.options(LONGEST, 1, true))?;
    let interrupt = Interrupt::listen()?;
    let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    if terminal {
        tell("/clear begins a new conversation, /exit ends; ctrl-C ends an answer");
    }
    let begin = || arguments.system.iter().map(|text| Message::new("system", text)).collect::<Vec<_>>();
    let (mut messages, mut out) = (begin(), Output::open());
    let mut lines = io::stdin().lock().lines();
    loop {
        // At the prompt there is no answer to end: a signal ends the program.
        let waiting = interrupt.end_at_once();
        if terminal {
            write!(out, "> ")?;
            out.flush()?;
        }
        let Some(line) = lines.next().transpose()? else { break };
        drop(waiting);
        match line.trim() {
            "" => continue,
            "/exit" => break,
            "/clear" => {
                messages = begin();
                continue;
            }
            text => messages.push(Message::new("user", text)),
        }
        let shown = io::stdout().is_terminal();
        let reply = answerer.reply(&messages, &|| interrupt.is_requested(), &mut |piece| {
            let piece = if shown { printable_lines(piece) } else { piece.into() };
            write!(out, "{piece}")?;
            Ok(out.flush()?)
        });
        interrupt.clear();
        match reply {
            Ok(text) => {
                writeln!(out)?;
                messages.push(Message::new("assistant", &text));
            }
            // The conversation is as it was before the question.
            Err(error) if terminal => {
                tell(&format!("error: {}", with_causes(&error)));
                messages.pop();
            }
            Err(error) => return Err(error),
        }
    }
    out.finish()?;
    Ok(ExitCode::SUCCESS)
}
