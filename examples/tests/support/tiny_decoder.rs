//! Tiny random decoders, written as Hugging Face would write them.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::{Path, PathBuf};

use grades_examples::model::decoder::{Decoder, LoadOptions, LoadReport};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A model directory that a test may spoil before loading it.
pub(crate) struct TinyDecoder {
    pub(crate) dir: TempDir,
    pub(crate) config: Value,
}

impl TinyDecoder {
    /// A Llama of two blocks, with keys of `changes` set.
    pub(crate) fn new(changes: Value) -> Self {
        let mut config = json!({
            "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 40, "hidden_size": 16,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 24,
            "hidden_act": "silu", "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "initializer_range": 0.2,
            "rope_theta": 10000.0, "rope_scaling": null, "tie_word_embeddings": false, "torch_dtype": "float32",
            "bos_token_id": 1, "eos_token_id": 2, "a_key_of_the_user": [1, 2]
        });
        config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let tiny = Self { dir: TempDir::new().unwrap(), config };
        tiny.write_config();
        tiny
    }

    /// A Phi-3, whose matrices are fused.
    pub(crate) fn phi3(changes: Value) -> Self {
        let mut all = json!({"model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "pad_token_id": 0});
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        Self::new(all)
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn write_config(&self) {
        std::fs::write(self.file("config.json"), self.config.to_string()).unwrap();
    }

    /// Writes random weights, in files of at most so many bytes.
    pub(crate) fn write(&self, shard: u64) -> &Self {
        self.draw().save_sharded(self.path(), shard).unwrap();
        self
    }

    pub(crate) fn draw(&self) -> Decoder {
        Decoder::draw(self.path(), LoadOptions::default(), 7).unwrap()
    }

    pub(crate) fn load(&self) -> (Decoder, LoadReport) {
        Decoder::load(self.path(), LoadOptions::default()).unwrap()
    }

    /// The message of the error that loading gives.
    pub(crate) fn error(&self) -> String {
        match Decoder::load(self.path(), LoadOptions::default()) {
            Ok(_) => panic!("the model loaded"),
            Err(error) => error.to_string(),
        }
    }
}
