//! `config.json` of a decoder, in the forms of transformers 4 and 5.

use std::path::Path;

use serde_json::{Map, Value};

use super::architecture::Architecture;
use super::rope::RopeConfig;
use crate::activation::Activation;
use crate::error::Result;
use crate::files::{Keys, QUANTIZATION, Sizes};

/// The configuration of a decoder, as Hugging Face writes it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DecoderConfig {
    /// Which class it is.
    pub architecture: Architecture,
    /// Number of token ids.
    pub vocab_size: i64,
    /// Width of the hidden states.
    pub hidden_size: i64,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Number of query heads.
    pub num_attention_heads: i64,
    /// Number of key and value heads; divides the number of query heads.
    pub num_key_value_heads: i64,
    /// Width of a head; need not be the hidden size divided by the heads.
    pub head_dim: i64,
    /// Width inside the feed-forward part.
    pub intermediate_size: i64,
    /// Function of the gate in the feed-forward part.
    pub hidden_act: Activation,
    /// Longest sequence, in tokens.
    pub max_position_embeddings: i64,
    /// Epsilon of the norms.
    pub rms_norm_eps: f64,
    /// Whether the output matrix is the embedding's.
    pub tie_word_embeddings: bool,
    /// Whether the attention's matrices have biases.
    pub attention_bias: bool,
    /// Whether the feed-forward part's matrices have biases.
    pub mlp_bias: bool,
    /// The rotation of queries and keys.
    pub rope: RopeConfig,
    /// How many positions each block looks back, itself included; `None` where it sees all.
    pub windows: Vec<Option<i64>>,
    /// Standard deviation of freshly drawn weights.
    pub initializer_range: f64,
    /// Dropout on the attention weights, in training.
    pub attention_dropout: f64,
    /// Dropout after each half of a block, in training.
    pub resid_pdrop: f64,
    /// The padding token, whose embedding receives no gradient.
    pub pad_token_id: Option<i64>,
    /// The token that a sequence begins with, when there is one.
    pub bos_token_id: Option<i64>,
    /// The tokens that end an answer.
    pub eos_token_ids: Vec<i64>,
    /// The whole object, carried along so that saving loses nothing.
    pub(super) raw: Map<String, Value>,
}

/// More blocks than any model has.
const MOST_LAYERS: usize = 4096;

impl DecoderConfig {
    /// Reads `config.json` of the model directory `dir`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) and [`Error::Json`](crate::Error::Json) when the file cannot be read, [`Error::Unsupported`](crate::Error::Unsupported) for another kind of
    /// model or rotation, [`Error::Config`](crate::Error::Config) for a key that is missing or out of range.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        Self::from_json(Keys::read(&path)?, &path)
    }

    pub(crate) fn from_json(raw: Map<String, Value>, path: &Path) -> Result<Self> {
        let keys = Keys { raw: &raw, path };
        keys.supported("model_type", &Architecture::ALL.map(Architecture::model_type), None)?;
        let architecture = keys
            .text("model_type")?
            .and_then(Architecture::from_model_type)
            .ok_or_else(|| keys.error("model_type", "the key is missing".into()))?;
        supported_class(&keys, architecture)?;
        let hidden_act = keys.text("hidden_act")?.unwrap_or("silu");
        let hidden_act = Activation::from_name(hidden_act)
            .ok_or_else(|| keys.unsupported("hidden_act", hidden_act, &Activation::names()))?;
        let hidden_size = keys.size("hidden_size", None)?;
        let heads = keys.size("num_attention_heads", None)?;
        // The defaults of Hugging Face's classes, for keys that a file leaves out.
        let key_value_heads = match architecture {
            Architecture::Mistral if !raw.contains_key("num_key_value_heads") => 8,
            Architecture::Qwen3 if !raw.contains_key("num_key_value_heads") => 32,
            _ => keys.size("num_key_value_heads", Some(heads))?,
        };
        if heads % key_value_heads != 0 {
            let message = format!("{key_value_heads} does not divide \"num_attention_heads\" {heads}");
            return Err(keys.error("num_key_value_heads", message));
        }
        let head_dim = match (keys.get("head_dim"), architecture) {
            (None, Architecture::Qwen3) => 128,
            (None, _) if hidden_size % heads != 0 => {
                let message = format!(
                    "{heads} does not divide \"hidden_size\" {hidden_size}, and there is no \"head_dim\""
                );
                return Err(keys.error("num_attention_heads", message));
            }
            _ => keys.size("head_dim", Some(hidden_size / heads))?,
        };
        let longest = match architecture {
            Architecture::Llama => 2048,
            Architecture::Mistral => 131_072,
            Architecture::Qwen3 => 32_768,
            Architecture::Phi3 => 4096,
        };
        let max_position_embeddings = keys.size("max_position_embeddings", Some(longest))?;
        let layers = keys.size("num_hidden_layers", None)?;
        // Checked before anything is made of it: there are some tens of variables a block.
        let num_hidden_layers = usize::try_from(layers).ok().filter(|layers| *layers <= MOST_LAYERS);
        let num_hidden_layers = num_hidden_layers.ok_or_else(|| {
            keys.error("num_hidden_layers", format!("expected at most {MOST_LAYERS}, found {layers}"))
        })?;
        let vocab_size = keys.size("vocab_size", None)?;
        let (llama, phi3) = (architecture == Architecture::Llama, architecture == Architecture::Phi3);
        let biased = llama || architecture == Architecture::Qwen3;
        let eps = if phi3 { 1e-5 } else { 1e-6 };
        Ok(Self {
            architecture,
            vocab_size,
            hidden_size,
            num_hidden_layers,
            num_attention_heads: heads,
            num_key_value_heads: key_value_heads,
            head_dim,
            intermediate_size: keys.size("intermediate_size", None)?,
            hidden_act,
            max_position_embeddings,
            rms_norm_eps: keys.positive("rms_norm_eps", eps)?,
            tie_word_embeddings: keys.flag("tie_word_embeddings", false)?,
            attention_bias: biased && keys.flag("attention_bias", false)?,
            mlp_bias: llama && keys.flag("mlp_bias", false)?,
            rope: RopeConfig::read(&keys, architecture, head_dim, max_position_embeddings)?,
            windows: windows(&keys, architecture, num_hidden_layers)?,
            initializer_range: keys.positive("initializer_range", 0.02)?,
            attention_dropout: keys.probability("attention_dropout", 0.0)?,
            resid_pdrop: if phi3 { keys.probability("resid_pdrop", 0.0)? } else { 0.0 },
            pad_token_id: padding(&keys, architecture, vocab_size)?,
            bos_token_id: keys.get("bos_token_id").and_then(Value::as_i64),
            eos_token_ids: ids(&keys, "eos_token_id")?,
            raw,
        })
    }

    /// Returns the shapes that the files must have, below `model`.
    pub(super) fn sizes(&self) -> Sizes {
        let [queries, pairs] =
            [self.num_attention_heads, self.num_key_value_heads].map(|heads| heads * self.head_dim);
        let inner = self.intermediate_size;
        let blocks = match self.architecture {
            Architecture::Phi3 => {
                vec![("self_attn.qkv_proj", queries + 2 * pairs), ("mlp.gate_up_proj", 2 * inner)]
            }
            _ => vec![("self_attn.q_proj", queries), ("self_attn.k_proj", pairs), ("mlp.up_proj", inner)],
        };
        let blocks = blocks.into_iter().map(|(name, rows)| (format!("layers.0.{name}.weight"), rows));
        let tensors = [("embed_tokens.weight".to_owned(), self.vocab_size)].into_iter().chain(blocks);
        let tensors = tensors.map(|(name, rows)| (name, [rows, self.hidden_size])).collect();
        Sizes { tensors, blocks: "layers", count: self.num_hidden_layers }
    }

    /// Writes the object to save for weights that are stored as `dtype`.
    pub(super) fn to_json(&self, dtype: &str) -> Value {
        let mut raw = self.raw.clone();
        raw.insert("architectures".into(), vec![self.architecture.class()].into());
        raw.insert("dtype".into(), dtype.into());
        // The older key means the same; a stale value would contradict the new one.
        if raw.contains_key("torch_dtype") {
            raw.insert("torch_dtype".into(), dtype.into());
        }
        // The files may have had an output matrix of their own.
        let tied = raw.get("tie_word_embeddings").and_then(Value::as_bool).unwrap_or(false);
        if tied != self.tie_word_embeddings {
            raw.insert("tie_word_embeddings".into(), self.tie_word_embeddings.into());
        }
        raw.remove(QUANTIZATION);
        Value::Object(raw)
    }
}

/// Checks `architectures`, which must be of the same class, or of its base model, where it is given.
fn supported_class(keys: &Keys<'_>, architecture: Architecture) -> Result<()> {
    let class = architecture.class();
    let base = class.replace("ForCausalLM", "Model");
    let named = keys.get("architectures").and_then(Value::as_array).and_then(|list| list.first());
    match named.and_then(Value::as_str) {
        Some(found) if found != class && found != base => {
            Err(keys.unsupported("architectures", found, &format!("{class}, {base}")))
        }
        _ => Ok(()),
    }
}

/// Reads the window of each block.
fn windows(keys: &Keys<'_>, architecture: Architecture, layers: usize) -> Result<Vec<Option<i64>>> {
    let given = |default: Option<i64>| -> Result<Option<i64>> {
        match keys.raw.get("sliding_window") {
            None => Ok(default),
            Some(Value::Null) => Ok(None),
            Some(_) => keys.size("sliding_window", None).map(Some),
        }
    };
    match architecture {
        Architecture::Llama => Ok(vec![None; layers]),
        Architecture::Mistral => Ok(vec![given(Some(4096))?; layers]),
        Architecture::Phi3 => Ok(vec![given(None)?; layers]),
        Architecture::Qwen3 => {
            let window = if keys.flag("use_sliding_window", false)? { given(Some(4096))? } else { None };
            let Some(types) = keys.get("layer_types") else {
                let from = usize::try_from(keys.count("max_window_layers", 28)?).unwrap_or(usize::MAX);
                return Ok((0..layers).map(|layer| window.filter(|_| layer >= from)).collect());
            };
            let types = types.as_array().filter(|types| types.len() == layers).ok_or_else(|| {
                keys.error("layer_types", format!("expected a list of {layers} names, found {types}"))
            })?;
            let window = |kind: &Value| match kind.as_str() {
                Some("full_attention") => Ok(None),
                Some("sliding_attention") => Ok(window),
                _ => Err(keys.unsupported(
                    "layer_types",
                    &kind.to_string(),
                    "full_attention, sliding_attention",
                )),
            };
            types.iter().map(window).collect()
        }
    }
}

fn padding(keys: &Keys<'_>, architecture: Architecture, vocab: i64) -> Result<Option<i64>> {
    // The class Phi3 has a default of its own.
    let default = (architecture == Architecture::Phi3 && vocab > 32_000).then_some(32_000);
    match keys.raw.get("pad_token_id") {
        None => Ok(default),
        Some(Value::Null) => Ok(None),
        // torch counts a negative row from the end.
        Some(value) => match value.as_i64() {
            Some(id) if (0..vocab).contains(&id) => Ok(Some(id)),
            Some(id) if (-vocab..0).contains(&id) => Ok(Some(id + vocab)),
            _ => Err(keys.error("pad_token_id", format!("expected an id below {vocab}, found {value}"))),
        },
    }
}

/// Reads one id or a list of them.
fn ids(keys: &Keys<'_>, key: &'static str) -> Result<Vec<i64>> {
    let wrong = |value: &Value| keys.error(key, format!("expected an id or a list of ids, found {value}"));
    match keys.get(key) {
        None => Ok(Vec::new()),
        Some(value @ Value::Array(list)) => {
            list.iter().map(|id| id.as_i64().ok_or_else(|| wrong(value))).collect()
        }
        Some(value) => value.as_i64().map(|id| vec![id]).ok_or_else(|| wrong(value)),
    }
}
