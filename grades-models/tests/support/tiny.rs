//! A tiny random BERT, written as Hugging Face would write it.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

pub(crate) const VOCABULARY: i64 = 40;

/// The words that the tokenizer knows, from id 4 on; the ids before are those of the special tokens.
const WORDS: [&str; 16] = [
    "good", "bad", "film", "meal", "day", "book", "the", "was", "is", "a", "very", "not", "it", "and",
    "##ly", "##s",
];

/// Name → shape and values of every tensor of a file.
pub(crate) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// A model directory that a test may spoil before loading it.
pub(crate) struct Tiny {
    pub(crate) dir: TempDir,
    pub(crate) config: Value,
    pub(crate) tensors: Tensors,
}

impl Tiny {
    /// A base model: two blocks, no head.
    pub(crate) fn base() -> Self {
        let config = json!({
            "model_type": "bert", "architectures": ["BertModel"], "vocab_size": VOCABULARY,
            "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12,
            "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
            "max_position_embeddings": 16, "type_vocab_size": 2, "initializer_range": 0.02,
            "layer_norm_eps": 1e-12, "pad_token_id": 0, "torch_dtype": "float32", "a_key_of_the_user": [1, 2]
        });
        let mut tiny = Self { dir: TempDir::new().unwrap(), config, tensors: Tensors::new() };
        for (name, rows) in [("word", 40), ("position", 16), ("token_type", 2)] {
            tiny.add(&format!("embeddings.{name}_embeddings.weight"), &[rows, 8]);
        }
        tiny.norm("embeddings.LayerNorm");
        for layer in 0..2 {
            let layer = format!("encoder.layer.{layer}");
            for part in ["query", "key", "value"] {
                tiny.linear(&format!("{layer}.attention.self.{part}"), 8, 8);
            }
            tiny.linear(&format!("{layer}.attention.output.dense"), 8, 8);
            tiny.norm(&format!("{layer}.attention.output.LayerNorm"));
            tiny.linear(&format!("{layer}.intermediate.dense"), 12, 8);
            tiny.linear(&format!("{layer}.output.dense"), 8, 12);
            tiny.norm(&format!("{layer}.output.LayerNorm"));
        }
        tiny.linear("pooler.dense", 8, 8);
        tiny
    }

    /// A complete classifier with the labels `no` and `yes`.
    pub(crate) fn classifier() -> Self {
        let mut tiny = Self::base();
        tiny.tensors =
            std::mem::take(&mut tiny.tensors).into_iter().map(|(k, v)| (format!("bert.{k}"), v)).collect();
        tiny.linear("classifier", 2, 8);
        tiny.config["id2label"] = json!({"0": "no", "1": "yes"});
        tiny
    }

    /// Without dropout: training then depends on the order of the data alone.
    pub(crate) fn without_dropout(mut self) -> Self {
        for key in ["hidden_dropout_prob", "attention_probs_dropout_prob"] {
            self.config[key] = json!(0.0);
        }
        self
    }

    pub(crate) fn add(&mut self, name: &str, shape: &[usize]) {
        let start = self.tensors.len() as f32;
        let count: usize = shape.iter().product();
        let values = (0..count).map(|i| 0.3 * (start * 7.0 + i as f32 * 1.7).sin()).collect();
        self.tensors.insert(name.to_owned(), (shape.to_vec(), values));
    }

    fn linear(&mut self, name: &str, outputs: usize, inputs: usize) {
        self.add(&format!("{name}.weight"), &[outputs, inputs]);
        self.add(&format!("{name}.bias"), &[outputs]);
    }

    fn norm(&mut self, name: &str) {
        for part in ["weight", "bias"] {
            let ones = vec![if part == "weight" { 1.0 } else { 0.1 }; 8];
            self.tensors.insert(format!("{name}.{part}"), (vec![8], ones));
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes config.json and model.safetensors.
    pub(crate) fn write(&self) -> &Self {
        self.write_config();
        write_tensors(&self.file("model.safetensors"), &self.tensors);
        self
    }

    pub(crate) fn write_config(&self) {
        std::fs::write(self.file("config.json"), self.config.to_string()).unwrap();
    }

    /// Writes a whole model directory, tokenizer included, somewhere else.
    pub(crate) fn write_to(&self, dir: &Path) {
        std::fs::create_dir_all(dir).unwrap();
        std::fs::write(dir.join("config.json"), self.config.to_string()).unwrap();
        write_tensors(&dir.join("model.safetensors"), &self.tensors);
        std::fs::write(dir.join("tokenizer.json"), word_pieces().to_string()).unwrap();
    }
}

pub(crate) fn write_tensors(path: &Path, tensors: &Tensors) {
    let bytes: BTreeMap<&String, (Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, (shape, values))| {
            (name, (shape.clone(), values.iter().flat_map(|value| value.to_le_bytes()).collect()))
        })
        .collect();
    let views = bytes
        .iter()
        .map(|(name, (shape, bytes))| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// A tokenizer.json of BERT's kind.
fn word_pieces() -> Value {
    const SPECIAL: [&str; 4] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"];
    let vocabulary: Map<String, Value> =
        SPECIAL.iter().chain(&WORDS).zip(0..).map(|(word, id)| ((*word).to_owned(), json!(id))).collect();
    let added: Vec<Value> = (0..)
        .zip(SPECIAL)
        .map(|(id, token): (u32, _)| {
            json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": true})
        })
        .collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                       "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": vocabulary}
    })
}
