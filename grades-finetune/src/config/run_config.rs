//! The configuration of a run, read from its document.

use std::collections::BTreeMap;

use grades::config::Grace;
use grades::schema::{ConfigTable, Key, Section, join_keys};
use grades::statistic::Statistic;
use grades::{Error, FreezingConfig, Problems};
use serde::Serialize;
use toml::{Table, Value};

use super::cache::{CacheConfig, CacheMode};
use super::checkpoint::CheckpointConfig;
use super::compare::CompareConfig;
use super::data::DataConfig;
use super::early_stopping::EarlyStoppingConfig;
use super::evaluation::EvaluationConfig;
use super::guard::GuardConfig;
use super::interval::Interval;
use super::lora::LoraRun;
use super::model::ModelConfig;
use super::optimizer::OptimizerConfig;
use super::output::OutputConfig;
use super::renamed::with_new_names;
use super::schedule::ScheduleConfig;
use super::training::TrainingConfig;

/// The configuration of a run.
#[derive(Debug, Clone, Serialize)]
pub struct RunConfig {
    /// Where the results go.
    pub output: OutputConfig,
    /// The model that is fine-tuned.
    pub model: ModelConfig,
    /// The labelled sentences.
    pub data: DataConfig,
    /// The measures of a decoder besides its loss.
    pub evaluation: EvaluationConfig,
    /// The length of the training and its batches.
    pub training: TrainingConfig,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// The learning rate over the steps.
    pub schedule: ScheduleConfig,
    /// When the state of the run is saved.
    pub checkpoint: CheckpointConfig,
    /// When non-finite numbers end the run.
    pub guard: GuardConfig,
    /// The table of what freezes when, with the settings in force.
    #[serde(rename = "freezing", skip_serializing_if = "Option::is_none")]
    freezing_table: Option<Table>,
    /// The policy and schedule of freezes; nothing freezes when absent.
    #[serde(skip)]
    pub freezing: Option<FreezingConfig>,
    /// When outputs of frozen blocks are stored; never without a `[freezing]` table.
    #[serde(skip)]
    pub cache: CacheConfig,
    /// The table of the adapters, with every key.
    #[serde(rename = "lora", skip_serializing_if = "Option::is_none")]
    lora_table: Option<Table>,
    /// The adapters to train; the whole model trains when absent.
    #[serde(skip)]
    pub lora: Option<LoraRun>,
    /// When evaluations end the run; they do not when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStoppingConfig>,
    /// The ways to train that `finetune compare` compares.
    #[serde(skip)]
    pub compare: CompareConfig,
}

/// The tables, in the order in which messages list them.
const TABLES: &[Key] = &[
    Key::new(OutputConfig::NAME, ""),
    Key::new(ModelConfig::NAME, ""),
    Key::new(DataConfig::NAME, ""),
    Key::new(EvaluationConfig::NAME, ""),
    Key::new(TrainingConfig::NAME, ""),
    Key::new(OptimizerConfig::NAME, ""),
    Key::new(ScheduleConfig::NAME, ""),
    Key::new(CheckpointConfig::NAME, ""),
    Key::new(GuardConfig::NAME, ""),
    Key::new("freezing", ""),
    Key::new("lora", ""),
    Key::new(EarlyStoppingConfig::NAME, ""),
    Key::new(CompareConfig::NAME, ""),
];

impl RunConfig {
    /// Reads a document; keys may have the names of the release before.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with all problems, each with its key.
    pub fn read(document: &Table) -> Result<Self, Error> {
        let mut problems = Problems::default();
        let document = &with_new_names(document, &mut problems).0;
        let given = tables(document, &mut problems);
        let empty = Table::new();
        let table = |name: &str| *given.get(name).unwrap_or(&&empty);
        let freezing_table = given.get("freezing").copied();
        let lora_table = given.get("lora").copied();
        let stopping_table = given.get(EarlyStoppingConfig::NAME).copied();

        let output = read::<OutputConfig>(table(OutputConfig::NAME), false, &mut problems);
        if let Some(output) = &output {
            output.check(&mut problems);
        }
        let model = read::<ModelConfig>(table(ModelConfig::NAME), false, &mut problems);
        let data = read::<DataConfig>(table(DataConfig::NAME), false, &mut problems);
        let evaluation = read::<EvaluationConfig>(table(EvaluationConfig::NAME), false, &mut problems);
        let stops = stopping_table.is_some();
        let training = read::<TrainingConfig>(table(TrainingConfig::NAME), stops, &mut problems);
        let early_stopping =
            stopping_table.map(|table| read::<EarlyStoppingConfig>(table, false, &mut problems));
        if stops {
            check_early_stopping(data.as_ref(), training.as_ref(), &mut problems);
        }
        let compare = read::<CompareConfig>(table(CompareConfig::NAME), false, &mut problems);
        let adapts = lora_table.is_some();
        let optimizer = read::<OptimizerConfig>(table(OptimizerConfig::NAME), adapts, &mut problems);
        let lora = lora_table.map(|table| LoraRun::read(table, &mut problems));
        let (freezing, cache, cools) = read_freezing(freezing_table, &mut problems)?;
        check_two_batches(freezing.as_ref(), training.as_ref(), &mut problems);
        let schedule = read::<ScheduleConfig>(table(ScheduleConfig::NAME), cools, &mut problems);
        let checkpoint = read::<CheckpointConfig>(table(CheckpointConfig::NAME), false, &mut problems);
        let guard = read::<GuardConfig>(table(GuardConfig::NAME), false, &mut problems);

        let config = || -> Option<Self> {
            Some(Self {
                output: output?,
                model: model?,
                data: data?,
                evaluation: evaluation?,
                training: training?,
                optimizer: optimizer?,
                schedule: schedule?,
                checkpoint: checkpoint?,
                guard: guard?,
                freezing_table: None,
                lora_table: lora.as_ref().zip(lora_table).map(|(lora, given)| lora.resolved(given)),
                freezing,
                cache: cache?,
                lora,
                early_stopping: early_stopping.flatten(),
                compare: compare?,
            })
        };
        let Some(mut config) = config().filter(|_| problems.is_empty()) else {
            return Err(Error::Config(problems));
        };
        if let Some((given, freezing)) = freezing_table.zip(config.freezing.as_ref()) {
            // Every setting in force is spelt out.
            let mut table = given.clone();
            table.extend(freezing.settings());
            if let Ok(cache) = Value::try_from(config.cache) {
                table.insert(CACHE.to_owned(), cache);
            }
            config.freezing_table = Some(table);
        }
        Ok(config)
    }

    /// Switches the activation cache off, in the table that is written as well.
    pub(crate) fn switch_cache_off(&mut self) {
        self.cache.mode = CacheMode::Never;
        if let (Some(table), Ok(cache)) = (&mut self.freezing_table, Value::try_from(self.cache)) {
            table.insert(CACHE.to_owned(), cache);
        }
    }

    /// Has adapters save these modules whole where the user has not set any, in the table that is written as well.
    pub(super) fn set_default_modules(&mut self, modules: &[&str]) {
        let Some(lora) = &mut self.lora else { return };
        if let (Some((key, value)), Some(table)) = (lora.set_default_modules(modules), &mut self.lora_table) {
            table.insert(key, value);
        }
    }
}

/// Reads a table; `condition` says whether the condition of a default that depends on another table is met.
fn read<T: ConfigTable>(table: &Table, condition: bool, problems: &mut Problems) -> Option<T> {
    T::read_if(&mut Section::new(T::NAME, table, T::KEYS, problems), condition)
}

/// Finds the tables of a document and notes what is none, or is not known.
fn tables<'a>(document: &'a Table, problems: &mut Problems) -> BTreeMap<&'a str, &'a Table> {
    let mut root = Section::new("", document, TABLES, problems);
    let mut tables = BTreeMap::new();
    for (name, value) in document {
        match value {
            Value::Table(table) => {
                tables.insert(name.as_str(), table);
            }
            other if TABLES.iter().any(|known| known.name == name) => {
                root.problem(name, format!("expected a table, found {other}"));
            }
            _ => {}
        }
    }
    tables
}

/// The table of the activation cache, in `[freezing]`. The trainer has it, not the optimizer.
const CACHE: &str = "cache";

/// The keys of `[freezing]` beside which its beginning is not that of the defaults.
const GRACE_IS_CHOSEN: [&str; 3] = ["grace", "preset", "budget"];

/// The keys of `[freezing]`, with that table.
const FREEZING_KEYS: &[Key] = &join_keys::<{ FreezingConfig::KEYS.len() + 1 }>(
    FreezingConfig::KEYS,
    &[Key::new(CACHE, "The activation cache")],
);

/// Reads the `[freezing]` table and the one in it; returns as well whether components cool before they freeze.
fn read_freezing(
    table: Option<&Table>,
    problems: &mut Problems,
) -> Result<(Option<FreezingConfig>, Option<CacheConfig>, bool), Error> {
    let Some(table) = table else { return Ok((None, Some(CacheConfig::NEVER), false)) };
    let mut table = table.clone();
    // Notes unknown keys, for which the optimizer's own list would lack a suggestion.
    Section::new("freezing", &table, FREEZING_KEYS, problems);
    table.retain(|name, _| FREEZING_KEYS.iter().any(|key| key.name == name));
    let cache = match table.remove(CACHE) {
        None => read::<CacheConfig>(&Table::new(), false, problems),
        Some(Value::Table(cache)) => read::<CacheConfig>(&cache, false, problems),
        Some(other) => {
            problems.push(CacheConfig::NAME, format!("expected a table, found {other}"));
            None
        }
    };
    let before = problems.as_slice().len();
    let mut freezing = FreezingConfig::read("freezing", &table, problems)?;
    // As long as a pass brings examples that were never seen, what was seen says nothing about them.
    let chosen = GRACE_IS_CHOSEN.iter().any(|key| table.contains_key(*key));
    if let Some(config) = freezing.take_if(|config| !chosen && config.cools()) {
        freezing = Some(config.with_grace(Grace::Epochs { epochs: 1.0 }));
    }
    let cools = problems.as_slice().len() == before && freezing.as_ref().is_some_and(FreezingConfig::cools);
    Ok((freezing, cache, cools))
}

/// Refuses a policy that compares two batches in steps of one.
fn check_two_batches(
    freezing: Option<&FreezingConfig>,
    training: Option<&TrainingConfig>,
    problems: &mut Problems,
) {
    let statistics = freezing.map(|freezing| freezing.policy().statistics()).unwrap_or_default();
    let needed = [Statistic::TwoBatchSignal, Statistic::TwoBatchNoise];
    let Some(statistic) = needed.into_iter().find(|needed| statistics.contains(*needed)) else { return };
    if training.is_some_and(|training| training.gradient_accumulation_steps == 1) {
        let message = format!(
            "is 1, so each step has one batch; the policy compares the first batch of a step with all of them \
             (statistic {statistic}): set at least 2"
        );
        problems.push("training.gradient_accumulation_steps", message);
    }
}

/// Refuses early stopping without evaluations.
fn check_early_stopping(
    data: Option<&DataConfig>,
    training: Option<&TrainingConfig>,
    problems: &mut Problems,
) {
    if data.is_some_and(|data| data.eval.is_none()) {
        problems.push("early_stopping", "needs examples for evaluation: give data.eval as well");
    }
    if training.is_some_and(|training| training.eval_every == Interval::Never) {
        let message =
            "is 0, so nothing is evaluated in time to end the run; leave it out or remove [early_stopping]";
        problems.push("training.eval_every", message);
    }
}
