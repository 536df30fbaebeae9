//! A tiny random BERT, written as Hugging Face would write it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use grades_examples::model::{BertClassifier, LoadOptions};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use tch::{Kind, Tensor};
use tempfile::TempDir;

pub(crate) const VOCABULARY: i64 = 40;

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

    pub(crate) fn load(&self) -> BertClassifier {
        let labels = ["no", "yes"].map(String::from).to_vec();
        let options = LoadOptions { labels: Some(labels), ..LoadOptions::default() };
        BertClassifier::load(self.path(), options).unwrap().0
    }

    /// The message of the error that loading gives.
    pub(crate) fn error(&self, options: LoadOptions) -> String {
        match BertClassifier::load(self.path(), options) {
            Ok(_) => panic!("the model loaded"),
            Err(error) => error.to_string(),
        }
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

/// Three sentences, two of them padded.
pub(crate) fn batch() -> (Tensor, Tensor) {
    let ids = Tensor::from_slice(&[1i64, 5, 9, 12, 2, 1, 7, 2, 0, 0, 1, 30, 31, 2, 0]).view([3, 5]);
    let mask = ids.ne(0).to_kind(Kind::Int64);
    (ids, mask)
}

pub(crate) fn logits(model: &BertClassifier) -> Tensor {
    let (ids, mask) = batch();
    tch::no_grad(|| model.forward(&ids, &mask, false)).unwrap()
}
