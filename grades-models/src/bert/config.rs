//! `config.json` of a BERT model: the numbers that its layers need, and the object itself for saving.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::files::{Keys, QUANTIZATION, Sizes};

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
    /// Number of segments: of sentences 0 is used, of pairs 0 and 1.
    pub type_vocab_size: i64,
    /// Standard deviation of freshly initialised weights.
    pub initializer_range: f64,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: f64,
    /// The padding token, whose embedding receives no gradient.
    pub pad_token_id: Option<i64>,
    /// The names of the labels, by id, when the file has `id2label`.
    pub labels: Option<Vec<String>>,
    /// The task of the classifier in the weights: `single_label_classification` is supported; `None` where the file does not
    /// say.
    pub problem_type: Option<String>,
    /// The whole object, carried along so that saving loses nothing.
    pub(super) raw: Map<String, Value>,
    pub(super) path: PathBuf,
}

/// More blocks than any model has: variables are made for each before the files are read.
const MOST_LAYERS: usize = 4096;

impl BertConfig {
    /// Reads `config.json` of the model directory `dir`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) and [`Error::Json`](crate::Error::Json) when the file cannot be read, [`Error::Unsupported`](crate::Error::Unsupported) for another
    /// kind of model, [`Error::Config`](crate::Error::Config) for a key that is missing or out of range.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        Self::from_json(Keys::read(&path)?, path)
    }

    pub(crate) fn from_json(raw: Map<String, Value>, path: PathBuf) -> Result<Self> {
        let keys = Keys { raw: &raw, path: &path };
        keys.supported("model_type", &["bert"], None)?;
        keys.supported("position_embedding_type", &["absolute"], Some("absolute"))?;
        keys.absent("is_decoder")?;
        keys.absent("add_cross_attention")?;
        let hidden_act = keys.text("hidden_act")?.unwrap_or("gelu");
        let hidden_act = Activation::from_name(hidden_act)
            .ok_or_else(|| keys.unsupported("hidden_act", hidden_act, &Activation::names()))?;
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
                .ok()
                .filter(|layers| *layers <= MOST_LAYERS)
                .ok_or_else(|| {
                    keys.error("num_hidden_layers", format!("expected at most {MOST_LAYERS}, found {layers}"))
                })?,
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
            labels: labels(&keys)?,
            problem_type: keys.text("problem_type")?.map(str::to_owned),
            raw,
            path,
        })
    }

    /// Refuses a classifier of `rows` outputs that is trained to anything but one label of several, as `transformers`
    /// decides it.
    pub(super) fn check_problem(&self, rows: usize) -> Result<()> {
        const SUPPORTED: &str = "single_label_classification";
        let found = match self.problem_type.as_deref() {
            Some(SUPPORTED) => return Ok(()),
            None if rows != 1 => return Ok(()),
            None => "absent, which for one label means regression".to_owned(),
            Some(other) => format!("\"{other}\""),
        };
        let supported = format!("{SUPPORTED}; a new head replaces this classifier");
        Err(Error::Unsupported { path: self.path.clone(), key: "problem_type", found, supported })
    }

    /// Returns the shapes that the files must have, below `bert`.
    pub(super) fn sizes(&self) -> Sizes {
        let tensors = [
            ("embeddings.word_embeddings", self.vocab_size),
            ("embeddings.position_embeddings", self.max_position_embeddings),
            ("embeddings.token_type_embeddings", self.type_vocab_size),
            ("encoder.layer.0.intermediate.dense", self.intermediate_size),
        ];
        let tensors = tensors.map(|(name, rows)| (format!("{name}.weight"), [rows, self.hidden_size]));
        Sizes { tensors: tensors.into(), blocks: "encoder.layer", count: self.num_hidden_layers }
    }

    /// Writes the object to save for a classifier with these labels, whose weights are stored as `dtype`.
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
        raw.remove(QUANTIZATION);
        Value::Object(raw)
    }
}

/// More labels without names than any classifier has.
const MOST_LABELS: i64 = 1 << 20;

/// Returns the names in `id2label` (or `LABEL_i` when there is only `num_labels`) in the order of their ids, which must
/// be 0, 1, 2, … without a gap.
fn labels(keys: &Keys<'_>) -> Result<Option<Vec<String>>> {
    let Some(value) = keys.get("id2label") else {
        let count = keys.get("num_labels").map(|_| keys.size("num_labels", None)).transpose()?;
        if let Some(count) = count.filter(|count| *count > MOST_LABELS) {
            let message =
                format!("expected at most {MOST_LABELS} where there is no \"id2label\", found {count}");
            return Err(keys.error("num_labels", message));
        }
        return Ok(count.map(|count| (0..count).map(|id| format!("LABEL_{id}")).collect()));
    };
    let broken = |what: &str| {
        keys.error("id2label", format!("expected names for the ids 0, 1, 2, … but {what}: {value}"))
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
