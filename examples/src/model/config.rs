//! `config.json` of a BERT model: the numbers that its layers need, and the object itself for saving.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::activation::Activation;
use super::error::{Error, Result};

/// The configuration of a BERT model, as Hugging Face writes it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BertConfig {
    /// Number of token ids.
    pub vocab_size: i64,
    /// Width of the hidden states.
    pub hidden_size: i64,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Number of attention heads; divides `hidden_size`.
    pub num_attention_heads: i64,
    /// Width inside the feed-forward part.
    pub intermediate_size: i64,
    /// Function of the feed-forward part.
    pub hidden_act: Activation,
    /// Dropout after the embeddings and after each half of a block.
    pub hidden_dropout_prob: f64,
    /// Dropout on the attention weights.
    pub attention_probs_dropout_prob: f64,
    /// Dropout before the classifier.
    pub classifier_dropout: f64,
    /// Longest sequence, in tokens.
    pub max_position_embeddings: i64,
    /// Number of segment ids; only segment 0 is used here.
    pub type_vocab_size: i64,
    /// Standard deviation of freshly initialised weights.
    pub initializer_range: f64,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: f64,
    /// The padding token, whose embedding receives no gradient.
    pub pad_token_id: Option<i64>,
    /// The names of the labels, by id, when the file has `id2label`.
    pub labels: Option<Vec<String>>,
    /// The whole object, carried along so that saving loses nothing.
    pub(super) raw: Map<String, Value>,
    pub(super) path: PathBuf,
}

impl BertConfig {
    /// Reads `config.json` of the model directory `dir`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::Json`] when the file cannot be read, [`Error::Unsupported`] for another
    /// kind of model, [`Error::Config`] for a key that is missing or out of range.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let text = std::fs::read(&path).map_err(|source| Error::io("read", &path, source))?;
        let raw =
            serde_json::from_slice(&text).map_err(|source| Error::Json { path: path.clone(), source })?;
        Self::from_json(raw, path)
    }

    fn from_json(raw: Map<String, Value>, path: PathBuf) -> Result<Self> {
        let keys = Keys { raw: &raw, path: &path };
        keys.supported("model_type", &["bert"], None)?;
        keys.supported("position_embedding_type", &["absolute"], Some("absolute"))?;
        keys.absent("is_decoder")?;
        keys.absent("add_cross_attention")?;
        let hidden_act = keys.text("hidden_act")?.unwrap_or("gelu");
        let hidden_act = Activation::from_name(hidden_act)
            .ok_or_else(|| keys.unsupported("hidden_act", hidden_act, Activation::NAMES))?;
        let hidden_size = keys.size("hidden_size", None)?;
        let num_attention_heads = keys.size("num_attention_heads", None)?;
        if hidden_size % num_attention_heads != 0 {
            let message = format!("{num_attention_heads} does not divide \"hidden_size\" {hidden_size}");
            return Err(keys.error("num_attention_heads", message));
        }
        let hidden_dropout_prob = keys.probability("hidden_dropout_prob", 0.1)?;
        let layers = keys.size("num_hidden_layers", None)?;
        let vocab_size = keys.size("vocab_size", None)?;
        let pad_token_id = match raw.get("pad_token_id") {
            None => Some(0),
            Some(Value::Null) => None,
            Some(value) => {
                Some(value.as_i64().filter(|id| (0..vocab_size).contains(id)).ok_or_else(|| {
                    keys.error("pad_token_id", format!("expected an id below {vocab_size}, found {value}"))
                })?)
            }
        };
        Ok(Self {
            vocab_size,
            hidden_size,
            num_hidden_layers: usize::try_from(layers)
                .map_err(|_| keys.error("num_hidden_layers", format!("{layers} is too large")))?,
            num_attention_heads,
            intermediate_size: keys.size("intermediate_size", None)?,
            hidden_act,
            hidden_dropout_prob,
            attention_probs_dropout_prob: keys.probability("attention_probs_dropout_prob", 0.1)?,
            classifier_dropout: keys.probability("classifier_dropout", hidden_dropout_prob)?,
            max_position_embeddings: keys.size("max_position_embeddings", None)?,
            type_vocab_size: keys.size("type_vocab_size", Some(2))?,
            initializer_range: keys.positive("initializer_range", 0.02)?,
            layer_norm_eps: keys.positive("layer_norm_eps", 1e-12)?,
            pad_token_id,
            labels: keys.labels()?,
            raw,
            path,
        })
    }

    /// The object to save for a classifier with these labels, whose weights are stored as `dtype`.
    pub(super) fn to_classifier_json(&self, labels: &[String], dtype: &str) -> Value {
        let mut raw = self.raw.clone();
        let id2label = labels.iter().enumerate().map(|(id, name)| (id.to_string(), name.clone().into()));
        let label2id = labels.iter().enumerate().map(|(id, name)| (name.clone(), id.into()));
        raw.insert("architectures".into(), vec!["BertForSequenceClassification"].into());
        raw.insert("id2label".into(), Value::Object(id2label.collect()));
        raw.insert("label2id".into(), Value::Object(label2id.collect()));
        raw.insert("problem_type".into(), "single_label_classification".into());
        raw.insert("dtype".into(), dtype.into());
        // The older key means the same; a stale value would contradict the new one.
        if raw.contains_key("torch_dtype") {
            raw.insert("torch_dtype".into(), dtype.into());
        }
        // Hugging Face derives the number from id2label and warns when both are given.
        raw.remove("num_labels");
        Value::Object(raw)
    }
}

/// Typed access to the keys, with errors that name them.
struct Keys<'a> {
    raw: &'a Map<String, Value>,
    path: &'a Path,
}

impl<'a> Keys<'a> {
    fn error(&self, key: &'static str, message: String) -> Error {
        Error::Config { path: self.path.to_path_buf(), key, message }
    }

    fn unsupported(&self, key: &'static str, found: &str, supported: &str) -> Error {
        let path = self.path.to_path_buf();
        Error::Unsupported { path, key, found: format!("\"{found}\""), supported: supported.into() }
    }

    /// The value of a key; null counts as absent, as it does for Hugging Face.
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.raw.get(key).filter(|value| !value.is_null())
    }

    fn text(&self, key: &'static str) -> Result<Option<&'a str>> {
        self.get(key)
            .map(|value| {
                value.as_str().ok_or_else(|| self.error(key, format!("expected a string, found {value}")))
            })
            .transpose()
    }

    fn supported(&self, key: &'static str, values: &[&str], default: Option<&str>) -> Result<()> {
        let found = self.text(key)?.or(default).ok_or_else(|| {
            self.error(key, format!("the key is missing; expected one of: {}", values.join(", ")))
        })?;
        if values.contains(&found) {
            return Ok(());
        }
        Err(self.unsupported(key, found, &values.join(", ")))
    }

    fn absent(&self, key: &'static str) -> Result<()> {
        match self.get(key) {
            None | Some(Value::Bool(false)) => Ok(()),
            Some(value) => Err(Error::Unsupported {
                path: self.path.to_path_buf(),
                key,
                found: value.to_string(),
                supported: "false (an encoder)".into(),
            }),
        }
    }

    fn size(&self, key: &'static str, default: Option<i64>) -> Result<i64> {
        // Far above any model, and small enough that products of two sizes cannot overflow.
        const LARGEST: i64 = 1 << 30;
        let Some(value) = self.get(key) else {
            return default.ok_or_else(|| self.error(key, "the key is missing".into()));
        };
        value.as_i64().filter(|size| (1..=LARGEST).contains(size)).ok_or_else(|| {
            self.error(key, format!("expected a whole number from 1 to {LARGEST}, found {value}"))
        })
    }

    fn number(&self, key: &'static str, default: f64, what: &str, good: fn(f64) -> bool) -> Result<f64> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value
            .as_f64()
            .filter(|number| good(*number))
            .ok_or_else(|| self.error(key, format!("expected {what}, found {value}")))
    }

    fn probability(&self, key: &'static str, default: f64) -> Result<f64> {
        self.number(key, default, "a probability of at least 0 and below 1", |p| (0.0..1.0).contains(&p))
    }

    fn positive(&self, key: &'static str, default: f64) -> Result<f64> {
        self.number(key, default, "a number above 0", |x| x > 0.0)
    }

    /// The names in `id2label` (or `LABEL_i` when there is only `num_labels`) in the order of their ids, which must be 0, 1, 2, … without a gap.
    fn labels(&self) -> Result<Option<Vec<String>>> {
        let Some(value) = self.get("id2label") else {
            let count = self.get("num_labels").map(|_| self.size("num_labels", None)).transpose()?;
            return Ok(count.map(|count| (0..count).map(|id| format!("LABEL_{id}")).collect()));
        };
        let broken = |what: &str| {
            self.error("id2label", format!("expected names for the ids 0, 1, 2, … but {what}: {value}"))
        };
        let map = value.as_object().ok_or_else(|| broken("it is no object"))?;
        let mut names = vec![None; map.len()];
        for (id, name) in map {
            let name = match name {
                Value::String(name) => name.clone(),
                Value::Number(number) => number.to_string(),
                _ => return Err(broken("a name is no string")),
            };
            let slot = id.parse::<usize>().ok().and_then(|id| names.get_mut(id));
            *slot.ok_or_else(|| broken("the ids have a gap"))? = Some(name);
        }
        let names: Option<Vec<String>> = names.into_iter().collect();
        let names = names.ok_or_else(|| broken("an id occurs twice"))?;
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(broken("a name occurs twice"));
        }
        Ok((!names.is_empty()).then_some(names))
    }
}
