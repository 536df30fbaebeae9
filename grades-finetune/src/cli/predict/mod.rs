//! `finetune predict`.

mod answers;
mod labels;
mod lines;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use grades_models::Family;

use super::model_arguments::ModelArguments;
use super::sampling::AnswerArguments;
use crate::config::{DeviceChoice, Dtype, RunConfig};
use crate::data::sequence::KeyNames;
use crate::data::{Column, Format, Header, Source, TextReader};
use crate::predict::ModelFiles;
use crate::train::run_configuration;

/// The options.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,
    /// Texts, or `-` for standard input with a text a line
    #[arg(value_name = "TEXT", conflicts_with = "file")]
    texts: Vec<String>,
    /// A file of texts: .txt with one a line, or .tsv, .csv or .jsonl with columns as for training
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The texts of the command line are pairs: first and second in turn
    #[arg(long, conflicts_with = "file")]
    pairs: bool,
    /// The form of the output: tsv (the label, and a column for each label's probability), jsonl, or text (the label or the
    /// answer alone); tsv of a classifier, text of a decoder by default
    #[arg(long, value_name = "FORMAT")]
    format: Option<OutputFormat>,
    /// The form of the file or of standard input, where its name does not say: tsv, csv or jsonl
    #[arg(long, value_name = "FORMAT")]
    input_format: Option<Format>,
    /// The column of the text, by name or position; as in training by default
    #[arg(long, value_name = "COLUMN")]
    text: Option<Column>,
    /// The column of the second text of a pair
    #[arg(long, value_name = "COLUMN")]
    text_pair: Option<Column>,
    /// Whether the first line names the columns: true, false or auto
    #[arg(long, value_name = "HEADER")]
    header: Option<Header>,
    /// The longest text in tokens; longer ones are cut. The model's positions by default
    #[arg(long, value_name = "COUNT")]
    max_tokens: Option<usize>,
    /// Texts in a forward pass; 32 of a classifier, 16 of a decoder by default
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    batch_size: Option<u16>,
    /// Put each prompt through the decoder's chat template, as a turn of the user
    #[arg(long)]
    chat: bool,
    #[command(flatten)]
    answers: AnswerArguments,
    /// The dtype of the model: f32 or bf16
    #[arg(long, default_value = "f32")]
    dtype: Dtype,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
}

/// The form of predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OutputFormat {
    Tsv,
    Jsonl,
    Text,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let files = arguments.model.files()?;
    match Family::of(&files.base)? {
        Family::Bert => labels::run(arguments, &files)?,
        Family::Decoder(_) => answers::run(arguments, &files)?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    /// Opens the texts, or the prompts of a decoder.
    fn open(&self, files: &ModelFiles, prompts: bool) -> Result<TextReader> {
        let source = self.source(files, prompts);
        if let Some(file) = &self.file {
            return Ok(if file == Path::new("-") {
                TextReader::stdin(&source)?
            } else {
                TextReader::open(file, &source)?
            });
        }
        match self.texts.as_slice() {
            [] => bail!("no text: give TEXT, --file FILE, or - for standard input"),
            [only] if only == "-" => Ok(TextReader::stdin(&source)?),
            texts if self.pairs => {
                let (pairs, rest) = texts.as_chunks::<2>();
                if !rest.is_empty() {
                    bail!("--pairs: expected an even number of texts, found {}", texts.len());
                }
                let pair = |[first, second]: &[String; 2]| (first.clone(), Some(second.clone()));
                Ok(TextReader::list(pairs.iter().map(pair).collect()))
            }
            texts => Ok(TextReader::list(texts.iter().map(|text| (text.clone(), None)).collect())),
        }
    }

    /// Returns where the texts are in a file: as the options say, or as in the run that trained the model.
    fn source(&self, files: &ModelFiles, prompts: bool) -> Source {
        let trained = files.run().and_then(|run| run_configuration(run).ok());
        let trained = trained.and_then(|document| RunConfig::read(document.table()).ok());
        let trained = match trained {
            Some(config) if prompts => Source { text: Column::Name(config.data.prompt), ..Source::default() },
            None if prompts => Source { text: Column::Name(KeyNames::default().prompt), ..Source::default() },
            trained => trained.map(|config| config.data.source()).unwrap_or_default(),
        };
        Source {
            format: self.input_format,
            text: self.text.clone().unwrap_or(trained.text),
            text_pair: self.text_pair.clone().unwrap_or(trained.text_pair),
            label: Column::Auto,
            header: self.header.unwrap_or(trained.header),
            skip_unlabelled: false,
        }
    }
}
