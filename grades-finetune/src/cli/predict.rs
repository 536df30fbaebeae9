//! `finetune predict`.

use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use grades_models::Family;
use grades_models::bert::LoadOptions;
use serde_json::{Map, Value};

use super::output::{Output, tell};
use crate::config::{DeviceChoice, Dtype, RunConfig};
use crate::data::{Column, Format, Header, Record, Source, TextReader};
use crate::predict::{Classifier, ClassifierOptions, ModelFiles, Prediction, load_classifier};
use crate::printable::printable;
use crate::train::run_configuration;

/// The options.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A model's directory, or the folder of the run that trained it
    #[arg(long, value_name = "DIR", required_unless_present = "adapter")]
    model: Option<PathBuf>,
    /// An adapter's folder, such as runs/NAME/adapter
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// Texts, or `-` for standard input with a text a line
    #[arg(value_name = "TEXT", conflicts_with = "file")]
    texts: Vec<String>,
    /// A file of texts: .txt with one a line, or .tsv, .csv or .jsonl with columns as for training
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The texts of the command line are pairs: first and second in turn
    #[arg(long, conflicts_with = "file")]
    pairs: bool,
    /// The form of the output: tsv (the label, and a column for each label's probability) or jsonl
    #[arg(long, value_name = "FORMAT", default_value = "tsv")]
    format: OutputFormat,
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
    /// Texts in a forward pass
    #[arg(long, value_name = "COUNT", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    batch_size: u16,
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
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let files = ModelFiles::find(arguments.model.as_deref(), arguments.adapter.as_deref())?;
    match Family::of(&files.base)? {
        Family::Bert => classify(arguments, &files),
        Family::Decoder(_) => bail!(
            "{} is a decoder, which has no labels to predict; `finetune generate` continues prompts with it",
            files.base.display()
        ),
    }
}

fn classify(arguments: &Arguments, files: &ModelFiles) -> Result<ExitCode> {
    let mut texts = arguments.open(files)?;
    let options = LoadOptions {
        device: arguments.device.device()?,
        dtype: arguments.dtype.kind(),
        ..LoadOptions::default()
    };
    let model = load_classifier(files, options)?;
    let options = ClassifierOptions {
        max_tokens: arguments.max_tokens,
        batch_size: arguments.batch_size.into(),
        ..ClassifierOptions::default()
    };
    let mut classifier = Classifier::new(model, files, options)?;
    let labels = classifier.labels().to_vec();
    let mut out = Lines { out: BufWriter::new(Output::open()), terminal: std::io::stdout().is_terminal() };
    if arguments.format == OutputFormat::Tsv {
        let cells = std::iter::once("label").chain(labels.iter().map(String::as_str)).map(cell);
        out.line(&cells.collect::<Vec<_>>().join("\t"))?;
    }
    let mut receive = |text: &Record, prediction: &Prediction| match arguments.format {
        OutputFormat::Tsv => out.line(&tsv(prediction, &labels)),
        OutputFormat::Jsonl => out.line(&jsonl(text, prediction, &labels)?),
    };
    let done = classifier.predict_all(&mut texts, &mut receive);
    // What was predicted before an error is written.
    let written = out.finish();
    if classifier.truncated() > 0 {
        tell(&format!("{} texts were cut to the longest sequence of the model", classifier.truncated()));
    }
    done?;
    written?;
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    /// Opens the texts.
    fn open(&self, files: &ModelFiles) -> Result<TextReader> {
        let source = self.source(files);
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
    fn source(&self, files: &ModelFiles) -> Source {
        let trained = files.run().and_then(|run| run_configuration(run).ok());
        let trained = trained.and_then(|document| RunConfig::read(document.table()).ok());
        let trained = trained.map(|config| config.data.source()).unwrap_or_default();
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

/// The lines of the output: exact in files, with control characters escaped on terminals.
struct Lines {
    out: BufWriter<Output>,
    terminal: bool,
}

impl Lines {
    fn line(&mut self, line: &str) -> Result<()> {
        if self.terminal {
            // Tabs are columns there as well.
            let cells: Vec<_> = line.split('\t').map(printable).collect();
            writeln!(self.out, "{}", cells.join("\t"))?;
        } else {
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        self.out.into_inner().map_err(std::io::IntoInnerError::into_error)?.finish()
    }
}

/// Returns a label as a cell: tabs and line ends would be other cells and lines.
fn cell(label: &str) -> String {
    label.replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

fn tsv(prediction: &Prediction, labels: &[String]) -> String {
    let mut line = labels.get(prediction.label).map(|label| cell(label)).unwrap_or_default();
    for probability in &prediction.probabilities {
        line.push('\t');
        line += &probability.to_string();
    }
    line
}

fn jsonl(text: &Record, prediction: &Prediction, labels: &[String]) -> Result<String> {
    let mut object = Map::new();
    object.insert("text".to_owned(), text.text.clone().into());
    if let Some(pair) = &text.pair {
        object.insert("text_pair".to_owned(), pair.clone().into());
    }
    object.insert("label".to_owned(), labels.get(prediction.label).cloned().into());
    let probabilities = labels.iter().zip(&prediction.probabilities);
    // As f32, whose shortest text is the value.
    let probabilities = probabilities.map(|(label, value)| (label.clone(), shortest(*value)));
    object.insert("probabilities".to_owned(), Value::Object(probabilities.collect()));
    Ok(serde_json::to_string(&object)?)
}

/// Returns a JSON number of the fewest digits that are this f32.
fn shortest(value: f32) -> Value {
    serde_json::from_str(&value.to_string()).unwrap_or(Value::Null)
}
