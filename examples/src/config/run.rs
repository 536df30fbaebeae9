//! What a run does, read from its document.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use grades::config::Section;
use grades::{Error, FreezingConfig, Problems};
use serde::Serialize;
use toml::{Table, Value};

use super::keys;
use super::lora::{self, LoraRun};
use super::values::{DeviceChoice, KindChoice, unknown};
use crate::data::{Column, Format, Header, Source};

/// What a run does.
#[derive(Debug, Clone, Serialize)]
pub struct RunConfig {
    /// Where the results go.
    pub output: OutputConfig,
    /// Which model is fine-tuned.
    pub model: ModelConfig,
    /// The labelled sentences.
    pub data: DataConfig,
    /// How long and in what batches.
    pub training: TrainingConfig,
    /// Which optimizer.
    pub optimizer: OptimizerConfig,
    /// The learning rate over the steps.
    pub schedule: ScheduleConfig,
    /// The table of what freezes when, with the settings in force.
    #[serde(rename = "freezing", skip_serializing_if = "Option::is_none")]
    freezing_table: Option<Table>,
    /// What freezes when; nothing does when absent.
    #[serde(skip)]
    pub freezing: Option<FreezingConfig>,
    /// The table of the adapters, with every key.
    #[serde(rename = "lora", skip_serializing_if = "Option::is_none")]
    lora_table: Option<Table>,
    /// The adapters to train; the whole model trains when absent.
    #[serde(skip)]
    pub lora: Option<LoraRun>,
}

/// Where the results go.
#[derive(Debug, Clone, Serialize)]
pub struct OutputConfig {
    /// The folder of all runs.
    pub folder: PathBuf,
    /// The run's folder in it, when the user chose one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Which model is fine-tuned.
#[derive(Debug, Clone, Serialize)]
pub struct ModelConfig {
    /// A Hugging Face model directory.
    pub path: PathBuf,
    /// The kind of its parameters.
    pub kind: KindChoice,
    /// Where it is trained.
    pub device: DeviceChoice,
    /// Whether to draw a new head even if the files have one.
    pub new_head: bool,
}

/// The labelled sentences.
#[derive(Debug, Clone, Serialize)]
pub struct DataConfig {
    /// The training examples.
    pub train: PathBuf,
    /// The examples for evaluation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval: Option<PathBuf>,
    /// Examples that are evaluated once, at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// The files' form, where their extensions do not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// The column of the text.
    pub text: Column,
    /// The column of the label.
    pub label: Column,
    /// Whether the first line names the columns.
    pub header: Header,
    /// The longest sequence of tokens, special ones included.
    pub max_tokens: usize,
    /// How many batches are sorted by length together.
    pub bucket: usize,
}

impl DataConfig {
    /// Where the examples are in the files.
    pub fn source(&self) -> Source {
        Source {
            format: self.format,
            text: self.text.clone(),
            label: self.label.clone(),
            header: self.header,
        }
    }
}

/// How long and in what batches.
#[derive(Debug, Clone, Serialize)]
pub struct TrainingConfig {
    /// Passes over the training examples.
    pub epochs: u64,
    /// No more optimizer steps than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// Examples in a forward pass.
    pub batch_size: usize,
    /// Batches in an optimizer step.
    pub accumulate: usize,
    /// The highest L2 norm of the gradients; 0 does not clip.
    pub clip_norm: f64,
    /// Steps from one evaluation to the next; 0 evaluates at the end only.
    pub eval_every: u64,
    /// Examples in a forward pass of an evaluation.
    pub eval_batch_size: usize,
    /// Seed of everything that is drawn.
    pub seed: u64,
}

/// Which optimizer, and its hyperparameters.
#[derive(Debug, Clone, Serialize)]
pub struct OptimizerConfig {
    /// Which one.
    pub name: OptimizerName,
    /// The highest learning rate.
    pub lr: f64,
    /// The decay of all parameters.
    pub weight_decay: f64,
    /// Adam's decay of the first moment.
    pub beta1: f64,
    /// Adam's decay of the second moment.
    pub beta2: f64,
    /// Adam's term in the denominator.
    pub eps: f64,
    /// SGD's momentum.
    pub momentum: f64,
}

/// The optimizers that a configuration can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerName {
    /// Adam with decoupled weight decay.
    AdamW,
    /// Adam with L2 regularisation.
    Adam,
    /// Stochastic gradient descent with momentum.
    Sgd,
}

/// The learning rate over the steps.
#[derive(Debug, Clone, Serialize)]
pub struct ScheduleConfig {
    /// What it does after the warm-up.
    pub name: ScheduleName,
    /// The share of the steps over which it rises.
    pub warmup: f64,
}

/// What a learning rate does after its warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleName {
    /// Falls to 0 in a straight line.
    Linear,
    /// Falls to 0 along half a cosine.
    Cosine,
    /// Stays.
    Constant,
    /// Stays, too, in a run that the freezes end: each component's own rate falls before it freezes.
    #[serde(rename = "until-frozen")]
    UntilFrozen,
}

macro_rules! words {
    ($kind:ty, $what:literal, $($word:literal => $variant:expr),+) => {
        impl FromStr for $kind {
            type Err = Error;

            fn from_str(word: &str) -> Result<Self, Error> {
                match word {
                    $($word => Ok($variant),)+
                    _ => Err(unknown($what, word, &[$($word),+].join(", "))),
                }
            }
        }
    };
}

words!(OptimizerName, "optimizer", "adamw" => Self::AdamW, "adam" => Self::Adam, "sgd" => Self::Sgd);
words!(ScheduleName, "schedule", "linear" => Self::Linear, "cosine" => Self::Cosine, "constant" => Self::Constant, "until-frozen" => Self::UntilFrozen);

impl RunConfig {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with all problems, each with its key.
    pub fn read(document: &Table) -> Result<Self, Error> {
        let mut problems = Problems::default();
        let mut root = Section::new("", document, keys::ROOT, &mut problems);
        let empty = Table::new();
        let mut table = |key: &str| match document.get(key) {
            Some(Value::Table(table)) => table,
            Some(other) => {
                root.problem(key, format!("expected a table, found {other}"));
                &empty
            }
            None => &empty,
        };
        let tables =
            ["output", "model", "data", "training", "optimizer", "schedule"].map(|key| (key, table(key)));
        let freezing_table = document.get("freezing").map(|_| table("freezing"));
        let lora_table = document.get("lora").map(|_| table("lora"));
        let [output, model, data, training, optimizer, schedule] = tables;
        let output = read_output(&mut Section::new(output.0, output.1, keys::OUTPUT, &mut problems));
        let model = read_model(&mut Section::new(model.0, model.1, keys::MODEL, &mut problems));
        let data = read_data(&mut Section::new(data.0, data.1, keys::DATA, &mut problems));
        let training =
            read_training(&mut Section::new(training.0, training.1, keys::TRAINING, &mut problems));
        let mut optimizer = Section::new(optimizer.0, optimizer.1, keys::OPTIMIZER, &mut problems);
        // Adapters begin at zero and take larger steps.
        let optimizer = read_optimizer(&mut optimizer, if lora_table.is_some() { 5e-4 } else { 5e-5 });
        let lora = lora_table
            .map(|table| lora::read_lora(&mut Section::new("lora", table, keys::LORA, &mut problems)));
        let before = problems.as_slice().len();
        let freezing =
            freezing_table.map(|table| FreezingConfig::read("freezing", table, &mut problems)).transpose()?;
        // Where components cool on their own, one more decay for all would cool them twice.
        let sound = freezing.as_ref().filter(|_| problems.as_slice().len() == before);
        let cools = sound.map(FreezingConfig::cools).transpose()?.unwrap_or(false);
        let default = if cools { ScheduleName::UntilFrozen } else { ScheduleName::Linear };
        let mut schedule = Section::new(schedule.0, schedule.1, keys::SCHEDULE, &mut problems);
        let schedule = read_schedule(&mut schedule, default);
        match (output, model, data, training, optimizer, schedule) {
            (Some(output), Some(model), Some(data), Some(training), Some(optimizer), Some(schedule)) => {
                let given = freezing_table.zip(freezing.as_ref()).filter(|_| problems.is_empty());
                let freezing_table = given.map(|(given, freezing)| resolved(given, freezing)).transpose()?;
                let lora_table =
                    lora_table.zip(lora.as_ref()).map(|(given, lora)| lora::resolved(given, lora));
                problems.into_result(Self {
                    output,
                    model,
                    data,
                    training,
                    optimizer,
                    schedule,
                    freezing_table,
                    freezing,
                    lora_table,
                    lora,
                })
            }
            _ => Err(Error::Config(problems)),
        }
    }
}

/// The `[freezing]` table with every setting in force spelt out.
fn resolved(given: &Table, freezing: &FreezingConfig) -> Result<Table, Error> {
    let mut table = given.clone();
    table.extend(freezing.settings()?);
    Ok(table)
}

fn read_output(section: &mut Section<'_>) -> Option<OutputConfig> {
    let folder = section.text_or("folder", "runs").map(PathBuf::from);
    let name = if section.has("name") { Some(section.text("name")?) } else { None };
    let plain = |name: &String| {
        let mut parts = Path::new(name).components();
        matches!((parts.next(), parts.next()), (Some(std::path::Component::Normal(_)), None))
    };
    if let Some(name) = name.as_ref().filter(|name| !plain(name)) {
        section.problem("name", format!("\"{name}\" is not the name of a folder"));
    }
    Some(OutputConfig { folder: folder?, name })
}

fn read_model(section: &mut Section<'_>) -> Option<ModelConfig> {
    let path = section.text("path").map(PathBuf::from);
    let kind = section.parsed_or("kind", KindChoice::F32);
    let device = section.parsed_or("device", DeviceChoice::Auto);
    let new_head = section.flag_or("new_head", false);
    Some(ModelConfig { path: path?, kind: kind?, device: device?, new_head: new_head? })
}

fn read_data(section: &mut Section<'_>) -> Option<DataConfig> {
    let train = section.text("train").map(PathBuf::from);
    let eval = optional_path(section, "eval");
    let test = optional_path(section, "test");
    let format =
        section.value_or("format", None, "tsv, csv or jsonl", |value| value.try_into().ok().map(Some));
    let text = section.value_or("text", Column::Position(0), COLUMN, |value| value.try_into().ok());
    let label = section.value_or("label", Column::Position(-1), COLUMN, |value| value.try_into().ok());
    let header =
        section.value_or("header", Header::Auto, "true, false or \"auto\"", |value| value.try_into().ok());
    let max_tokens = size(section, "max_tokens", 64);
    let bucket = size(section, "bucket", 16);
    Some(DataConfig {
        train: train?,
        eval: eval?,
        test: test?,
        format: format?,
        text: text?,
        label: label?,
        header: header?,
        max_tokens: max_tokens?,
        bucket: bucket?,
    })
}

const COLUMN: &str = "a column's name or its position";

fn read_training(section: &mut Section<'_>) -> Option<TrainingConfig> {
    let positive = |number: u64| number >= 1;
    let epochs = section.integer_or("epochs", 3, "at least 1", positive);
    let max_steps = if section.has("max_steps") {
        section.integer_or("max_steps", 1, "at least 1", positive).map(Some)
    } else {
        Some(None)
    };
    let batch_size = size(section, "batch_size", 32);
    let accumulate = size(section, "accumulate", 1);
    let clip_norm = section.number_or("clip_norm", 1.0, "a number of at least 0", at_least_zero);
    let eval_every = section.integer_or("eval_every", 0, "at least 0", |_| true);
    let eval_batch_size = size(section, "eval_batch_size", 64);
    let seed = section.integer_or("seed", 0, "at least 0", |_| true);
    Some(TrainingConfig {
        epochs: epochs?,
        max_steps: max_steps?,
        batch_size: batch_size?,
        accumulate: accumulate?,
        clip_norm: clip_norm?,
        eval_every: eval_every?,
        eval_batch_size: eval_batch_size?,
        seed: seed?,
    })
}

fn read_optimizer(section: &mut Section<'_>, default_lr: f64) -> Option<OptimizerConfig> {
    const SHARE: &str = "a number from 0 to below 1";
    let share = |number: f64| (0.0..1.0).contains(&number);
    let name = section.parsed_or("name", OptimizerName::AdamW);
    let lr = section.number_or("lr", default_lr, "a number above 0", |lr| lr > 0.0 && lr.is_finite());
    let weight_decay = section.number_or("weight_decay", 0.01, "a number of at least 0", at_least_zero);
    let beta1 = section.number_or("beta1", 0.9, SHARE, share);
    let beta2 = section.number_or("beta2", 0.999, SHARE, share);
    let eps = section.number_or("eps", 1e-8, "a number of at least 0", at_least_zero);
    let momentum = section.number_or("momentum", 0.9, SHARE, share);
    Some(OptimizerConfig {
        name: name?,
        lr: lr?,
        weight_decay: weight_decay?,
        beta1: beta1?,
        beta2: beta2?,
        eps: eps?,
        momentum: momentum?,
    })
}

fn read_schedule(section: &mut Section<'_>, default: ScheduleName) -> Option<ScheduleConfig> {
    let name = section.parsed_or("name", default);
    let warmup =
        section.number_or("warmup", 0.06, "a share from 0 to 1", |share| (0.0..=1.0).contains(&share));
    Some(ScheduleConfig { name: name?, warmup: warmup? })
}

fn optional_path(section: &mut Section<'_>, key: &str) -> Option<Option<PathBuf>> {
    if section.has(key) { section.text(key).map(|path| Some(PathBuf::from(path))) } else { Some(None) }
}

fn size(section: &mut Section<'_>, key: &str, default: u64) -> Option<usize> {
    let number = section.integer_or(key, default, "at least 1", |number| number >= 1)?;
    usize::try_from(number).ok()
}

fn at_least_zero(number: f64) -> bool {
    number >= 0.0 && number.is_finite()
}
