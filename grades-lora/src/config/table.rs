//! The configuration as a TOML table.

use grades::Problems;
use grades::schema::{DefaultValue, Key, KeyFacts, Section, Words};
use toml::{Table, Value};

use super::{Bias, Init, LoraConfig, Targets};
use crate::error::{Error, Result};

const WHOLE: &str = "a whole number";
const NUMBER: &str = "a number";
const TARGETS: &str = "a list of names, or a regular expression";
const RANKS: &str = "a table from regular expressions to ranks";
const ALPHAS: &str = "a table from regular expressions to numbers";
const BLOCKS: &str = "a number or a list of numbers";
const NAMES: &str = "a name or a list of names";
const FLAG: &str = "true or false";
const INIT: &str = "true, false or \"gaussian\"";

/// Describes keys by their meaning and accepted values; the defaults are those of [`LoraConfig`].
macro_rules! keys {
    ($($name:literal: $help:literal, $accepts:expr;)+) => {
        &[$(Key::described($name, $help, || facts($name, $accepts)),)+]
    };
}

fn facts(name: &str, accepts: impl Into<String>) -> KeyFacts {
    let default = LoraConfig::default().to_table().get(name).map_or(DefaultValue::None, DefaultValue::of);
    KeyFacts { accepts: Some(accepts.into()), default, otherwise: None, alias: None }
}

/// From and to TOML.
impl LoraConfig {
    /// The keys of the table.
    pub const KEYS: &'static [Key] = keys! {
        "r": "rank of the adapters", WHOLE;
        "lora_alpha": "the adapters' outputs are scaled by lora_alpha / r", NUMBER;
        "lora_dropout": "dropout on the adapters' inputs in training", NUMBER;
        "target_modules": "layers to adapt: names or their ends, a regular expression, or all-linear", TARGETS;
        "exclude_modules": "as target_modules: layers that are never adapted", TARGETS;
        "rank_pattern": "r by layer", RANKS;
        "alpha_pattern": "lora_alpha by layer", ALPHAS;
        "layers_to_transform": "numbers of the blocks that are adapted; empty: all", BLOCKS;
        "layers_pattern": "what stands before a block's number in a name; empty: anything", NAMES;
        "use_rslora": "scale by lora_alpha / √r", FLAG;
        "use_dora": "train a magnitude for each output as well", FLAG;
        "init_lora_weights": "true: B zero; \"gaussian\": A normal; false: A and B drawn", INIT;
        "bias": "biases that train as well", Bias::choices();
        "modules_to_save": "names or ends of modules that train in full", "a list of strings";
        "ensure_weight_tying": "an embedding among them stays the tied output matrix", FLAG;
    };

    /// Reads a table that stands alone, such as a file of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with all problems, each with its key.
    ///
    /// ```
    /// let config = grades_lora::LoraConfig::from_toml("r = 4\nlora_alpha = 16\ntarget_modules = ['query']")?;
    /// assert_eq!((config.rank, config.alpha), (4, 16.0));
    ///
    /// let error = grades_lora::LoraConfig::from_toml("r = 0\nlora_alhpa = 16").unwrap_err().to_string();
    /// assert!(error.contains("r: ") && error.contains("did you mean \"lora_alpha\"?"));
    /// # Ok::<(), grades_lora::Error>(())
    /// ```
    pub fn from_toml(text: &str) -> Result<Self> {
        let table: Table = text
            .parse()
            .map_err(|error: toml::de::Error| Error::Config(Problems::of("lora", error.to_string())))?;
        let mut problems = Problems::default();
        let config = Self::read(&mut Section::new("", &table, Self::KEYS, &mut problems));
        if problems.is_empty() { Ok(config) } else { Err(Error::Config(problems)) }
    }

    /// Reads an open table, whose keys must be [`KEYS`](Self::KEYS) and may be more; problems are noted there.
    pub fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let mut config = Self::default();
        let finite = |number: f64| number.is_finite();
        let rank = section.value_or("r", default.rank, WHOLE, |value| value.as_integer());
        config.rank = rank.unwrap_or(default.rank);
        let alpha = section.number_or("lora_alpha", default.alpha, NUMBER, finite);
        config.alpha = alpha.unwrap_or(default.alpha);
        let dropout = section.number_or("lora_dropout", default.dropout, NUMBER, finite);
        config.dropout = dropout.unwrap_or(default.dropout);
        let modules = section.value_or("target_modules", default.target_modules.clone(), TARGETS, targets);
        config.target_modules = modules.unwrap_or(default.target_modules);
        let excluded = section
            .value_or("exclude_modules", default.exclude_modules, TARGETS, |value| targets(value).map(Some));
        config.exclude_modules =
            excluded.flatten().filter(|targets| !matches!(targets, Targets::List(names) if names.is_empty()));
        let ranks = section
            .value_or("rank_pattern", default.rank_pattern, RANKS, |value| pairs(value, Value::as_integer));
        config.rank_pattern = ranks.unwrap_or_default();
        let alphas =
            section.value_or("alpha_pattern", default.alpha_pattern, ALPHAS, |value| pairs(value, number));
        config.alpha_pattern = alphas.unwrap_or_default();
        let numbers = section.value_or("layers_to_transform", default.layers_to_transform, BLOCKS, |value| {
            blocks(value).map(Some)
        });
        config.layers_to_transform = numbers.flatten().filter(|blocks| !blocks.is_empty());
        let patterns = section.value_or("layers_pattern", default.layers_pattern, NAMES, texts);
        config.layers_pattern = patterns.unwrap_or_default();
        config.use_rslora = section.flag_or("use_rslora", default.use_rslora).unwrap_or_default();
        config.use_dora = section.flag_or("use_dora", default.use_dora).unwrap_or_default();
        config.init = section.value_or("init_lora_weights", default.init, INIT, init).unwrap_or_default();
        let bias = |value: Value| Bias::from_word(value.as_str()?);
        config.bias = section.value_or("bias", default.bias, &Bias::choices(), bias).unwrap_or_default();
        config.modules_to_save = section.texts("modules_to_save").unwrap_or_default();
        let tying = section.flag_or("ensure_weight_tying", default.ensure_weight_tying);
        config.ensure_weight_tying = tying.unwrap_or_default();
        let mut problems = Problems::default();
        config.note_problems("", &mut problems);
        for problem in problems.as_slice() {
            section.problem(&problem.key, problem.message.clone());
        }
        config
    }

    /// Writes the table of this configuration with every key spelt out.
    pub fn to_table(&self) -> Table {
        let texts = |names: &[String]| names.iter().cloned().map(Value::String).collect::<Vec<_>>();
        let targets = |targets: &Targets| match targets {
            Targets::AllLinear => Value::String("all-linear".to_owned()),
            Targets::List(names) => Value::Array(texts(names)),
            Targets::Pattern(pattern) => Value::String(pattern.clone()),
        };
        let pattern = |pairs: Vec<(String, Value)>| Value::Table(pairs.into_iter().collect());
        let ranks = self.rank_pattern.iter().map(|(name, rank)| (name.clone(), Value::Integer(*rank)));
        let alphas = self.alpha_pattern.iter().map(|(name, alpha)| (name.clone(), Value::Float(*alpha)));
        let blocks = self.layers_to_transform.iter().flatten().map(|block| Value::Integer(i64::from(*block)));
        let entries = [
            ("r", Value::Integer(self.rank)),
            ("lora_alpha", Value::Float(self.alpha)),
            ("lora_dropout", Value::Float(self.dropout)),
            ("target_modules", targets(&self.target_modules)),
            ("exclude_modules", self.exclude_modules.as_ref().map_or(Value::Array(Vec::new()), targets)),
            ("rank_pattern", pattern(ranks.collect())),
            ("alpha_pattern", pattern(alphas.collect())),
            ("layers_to_transform", Value::Array(blocks.collect())),
            ("layers_pattern", Value::Array(texts(&self.layers_pattern))),
            ("use_rslora", Value::Boolean(self.use_rslora)),
            ("use_dora", Value::Boolean(self.use_dora)),
            (
                "init_lora_weights",
                match self.init {
                    Init::Default => Value::Boolean(true),
                    Init::Gaussian => Value::String("gaussian".to_owned()),
                    Init::Random => Value::Boolean(false),
                },
            ),
            ("bias", Value::String(self.bias.name().to_owned())),
            ("modules_to_save", Value::Array(texts(&self.modules_to_save))),
            ("ensure_weight_tying", Value::Boolean(self.ensure_weight_tying)),
        ];
        entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

fn targets(value: Value) -> Option<Targets> {
    match value {
        Value::String(text) => Some(Targets::from_text(&text)),
        other => texts(other).map(Targets::List),
    }
}

fn texts(value: Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(list) => list.into_iter().map(|text| text.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

fn pairs<T>(value: Value, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<(String, T)>> {
    value.as_table()?.iter().map(|(name, value)| Some((name.clone(), read(value)?))).collect()
}

fn number(value: &Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|number| number as f64))
}

fn blocks(value: Value) -> Option<Vec<u32>> {
    let block = |value: &Value| value.as_integer().and_then(|number| u32::try_from(number).ok());
    match &value {
        Value::Array(list) => list.iter().map(block).collect(),
        one => block(one).map(|block| vec![block]),
    }
}

fn init(value: Value) -> Option<Init> {
    match value {
        Value::Boolean(true) => Some(Init::Default),
        Value::Boolean(false) => Some(Init::Random),
        Value::String(word) if word.eq_ignore_ascii_case("gaussian") => Some(Init::Gaussian),
        _ => None,
    }
}
