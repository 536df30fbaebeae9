//! What a run does, read from its document.

use std::path::PathBuf;
use std::str::FromStr;

use grades::schema::Section;
use grades::{Error, FreezingConfig, Problems};
use serde::Serialize;
use toml::{Table, Value};

use super::compare::CompareConfig;
use super::decoder::EvaluationConfig;
use super::early_stopping::EarlyStoppingConfig;
use super::interval::Interval;
use super::keys;
use super::lora::{self, LoraRun};
use super::read::{read_data, read_model, read_optimizer, read_output, read_schedule, read_training};
use super::safety::{CheckpointConfig, GuardConfig};
use super::values::{DeviceChoice, KindChoice, unknown};
use crate::data::sequence::{KeyNames, TooLong, Turns};
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
    /// What a decoder is measured by besides its loss.
    pub evaluation: EvaluationConfig,
    /// How long and in what batches.
    pub training: TrainingConfig,
    /// Which optimizer.
    pub optimizer: OptimizerConfig,
    /// The learning rate over the steps.
    pub schedule: ScheduleConfig,
    /// When the state of the run is written.
    pub checkpoint: CheckpointConfig,
    /// What happens when numbers cease to be any.
    pub guard: GuardConfig,
    /// The table of what freezes when, with the settings in force.
    #[serde(rename = "freezing", skip_serializing_if = "Option::is_none")]
    freezing_table: Option<Table>,
    /// What freezes when; nothing does when absent.
    #[serde(skip)]
    pub freezing: Option<FreezingConfig>,
    /// The table of the adapters, with every key.
    #[serde(rename = "lora", skip_serializing_if = "Option::is_none")]
    pub(super) lora_table: Option<Table>,
    /// The adapters to train; the whole model trains when absent.
    #[serde(skip)]
    pub lora: Option<LoraRun>,
    /// When evaluations end the run; they do not when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStoppingConfig>,
    /// What `finetune compare` compares.
    #[serde(skip)]
    pub compare: CompareConfig,
}

/// Where the results go.
#[derive(Debug, Clone, Serialize)]
pub struct OutputConfig {
    /// The folder of all runs.
    pub folder: PathBuf,
    /// The run's folder in it, when the user chose one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether the run's folder gets a `report.html`.
    pub report: bool,
    /// Whether it gets event files for TensorBoard.
    pub tensorboard: bool,
    /// Whether nothing but warnings is told while the run goes on.
    pub quiet: bool,
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
    /// Whether a decoder's matrices are multiplied in bf16 whatever the kind.
    pub autocast: bool,
    /// Whether the parts of a decoder's fused matrices are components of their own.
    pub split_fused: bool,
    /// Whether all weights of a decoder are drawn afresh.
    pub from_scratch: bool,
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
    /// The keys of a decoder's examples in JSONL.
    #[serde(flatten)]
    pub keys: SequenceKeys,
    /// Whether prompts and responses go through the chat template.
    pub chat: bool,
    /// Which turns of the assistant are learnt.
    pub turns: Turns,
    /// What happens to a decoder's examples beyond `max_tokens`.
    pub too_long: TooLong,
    /// Whether several of a decoder's examples share a row.
    pub packing: bool,
    /// The longest sequence of tokens, special ones included; absent until the kind of model is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
    /// How many batches are sorted by length together.
    pub bucket: usize,
}

/// The keys of a decoder's examples in JSONL, but for a text's, which is [`DataConfig::text`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SequenceKeys {
    /// A prompt.
    pub prompt: String,
    /// The response to it.
    pub response: String,
    /// A conversation.
    pub messages: String,
    /// The possible responses to a prompt.
    pub choices: String,
    /// The position of the right one.
    pub answer: String,
}

impl DataConfig {
    /// The keys of a decoder's examples.
    pub fn key_names(&self) -> KeyNames {
        let SequenceKeys { prompt, response, messages, choices, answer } = self.keys.clone();
        let text = match &self.text {
            Column::Name(name) => name.clone(),
            Column::Position(_) => KeyNames::default().text,
        };
        KeyNames { text, prompt, response, messages, choices, answer }
    }

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
    /// Whether a decoder's blocks are computed twice to save memory.
    pub checkpointing: bool,
    /// The highest L2 norm of the gradients; 0 does not clip.
    pub clip_norm: f64,
    /// The share of the steps of `epochs` and `max_steps` that the run is planned for.
    pub share: f64,
    /// How often an evaluation comes between steps, besides the one at the end.
    pub eval_every: Interval,
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
words!(Turns, "turns", "all" => Self::All, "last" => Self::Last);
words!(TooLong, "too_long", "truncate" => Self::Truncate, "refuse" => Self::Refuse, "skip" => Self::Skip);
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
        let names = [
            "output",
            "model",
            "data",
            "evaluation",
            "training",
            "optimizer",
            "schedule",
            "checkpoint",
            "guard",
        ];
        let tables = names.map(|key| (key, table(key)));
        let freezing_table = document.get("freezing").map(|_| table("freezing"));
        let lora_table = document.get("lora").map(|_| table("lora"));
        let stopping_table = document.get("early_stopping").map(|_| table("early_stopping"));
        let compare = table("compare");
        let [output, model, data, evaluation, training, optimizer, schedule, checkpoint, guard] = tables;
        let output = read_output(&mut Section::new(output.0, output.1, keys::OUTPUT, &mut problems));
        let model = read_model(&mut Section::new(model.0, model.1, keys::MODEL, &mut problems));
        let data = read_data(&mut Section::new(data.0, data.1, keys::DATA, &mut problems));
        let mut evaluation = Section::new(evaluation.0, evaluation.1, keys::EVALUATION, &mut problems);
        let evaluation = EvaluationConfig::read(&mut evaluation);
        let interval = if stopping_table.is_some() { Interval::EpochShare(0.1) } else { Interval::Never };
        let mut training = Section::new(training.0, training.1, keys::TRAINING, &mut problems);
        let training = read_training(&mut training, interval);
        let early_stopping = stopping_table.map(|table| {
            let mut section = Section::new("early_stopping", table, keys::EARLY_STOPPING, &mut problems);
            EarlyStoppingConfig::read(&mut section)
        });
        if early_stopping.is_some() {
            if data.as_ref().is_some_and(|data| data.eval.is_none()) {
                problems.push("early_stopping", "needs examples for evaluation: give data.eval as well");
            }
            if training.as_ref().is_some_and(|training| training.eval_every == Interval::Never) {
                let message = "is 0, so nothing is evaluated in time to end the run; leave it out or remove [early_stopping]";
                problems.push("training.eval_every", message);
            }
        }
        let compare =
            CompareConfig::read(&mut Section::new("compare", compare, keys::COMPARE, &mut problems));
        let mut optimizer = Section::new(optimizer.0, optimizer.1, keys::OPTIMIZER, &mut problems);
        // Adapters begin at zero and take larger steps.
        let optimizer = read_optimizer(&mut optimizer, if lora_table.is_some() { 5e-4 } else { 5e-5 });
        let lora = lora_table
            .map(|table| lora::read_lora(&mut Section::new("lora", table, keys::LORA, &mut problems)));
        let before = problems.as_slice().len();
        let freezing =
            freezing_table.map(|table| FreezingConfig::read("freezing", table, &mut problems)).transpose()?;
        let freezing = freezing.flatten();
        // Where components cool on their own, one more decay for all would cool them twice.
        let sound = freezing.as_ref().filter(|_| problems.as_slice().len() == before);
        let cools = sound.is_some_and(FreezingConfig::cools);
        let default = if cools { ScheduleName::UntilFrozen } else { ScheduleName::Linear };
        let mut schedule = Section::new(schedule.0, schedule.1, keys::SCHEDULE, &mut problems);
        let schedule = read_schedule(&mut schedule, default);
        let mut checkpoint = Section::new(checkpoint.0, checkpoint.1, keys::CHECKPOINT, &mut problems);
        let checkpoint = CheckpointConfig::read(&mut checkpoint);
        let guard = GuardConfig::read(&mut Section::new(guard.0, guard.1, keys::GUARD, &mut problems));
        let kept = checkpoint.zip(guard);
        match (output, model, data, evaluation, training, optimizer, schedule, kept) {
            (
                Some(output),
                Some(model),
                Some(data),
                Some(evaluation),
                Some(training),
                Some(optimizer),
                Some(schedule),
                Some((checkpoint, guard)),
            ) => {
                let given = freezing_table.zip(freezing.as_ref()).filter(|_| problems.is_empty());
                let freezing_table = given.map(|(given, freezing)| resolved(given, freezing));
                let lora_table =
                    lora_table.zip(lora.as_ref()).map(|(given, lora)| lora::resolved(given, lora));
                problems.into_result(Self {
                    output,
                    model,
                    data,
                    evaluation,
                    training,
                    optimizer,
                    schedule,
                    checkpoint,
                    guard,
                    freezing_table,
                    freezing,
                    lora_table,
                    lora,
                    early_stopping: early_stopping.flatten(),
                    compare: compare.unwrap_or_default(),
                })
            }
            _ => Err(Error::Config(problems)),
        }
    }
}

/// The `[freezing]` table with every setting in force spelt out.
fn resolved(given: &Table, freezing: &FreezingConfig) -> Table {
    let mut table = given.clone();
    table.extend(freezing.settings());
    table
}
