//! Tiny random decoders, written as Hugging Face would write them.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::{Path, PathBuf};

use grades_models::decoder::{Decoder, LoadOptions, LoadReport};
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

/// Words of the tokenizer, from id 6 on; before them are `SPECIAL`.
pub(crate) const WORDS: [&str; 20] = [
    "what", "is", "the", "colour", "of", "sky", "grass", "snow", "coal", "sun", "blue", "green", "white",
    "black", "yellow", "?", "and", "a", "ask", "say",
];

/// The special tokens, from id 0 on.
pub(crate) const SPECIAL: [&str; 6] = ["<pad>", "<s>", "</s>", "<unk>", "<user>", "<assistant>"];

/// The ids of words and special tokens.
pub(crate) fn ids(text: &str) -> Vec<u32> {
    let all: Vec<&str> = SPECIAL.iter().chain(&WORDS).copied().collect();
    let id = |word| all.iter().position(|known| *known == word).unwrap_or_else(|| panic!("{word}")) as u32;
    text.split_whitespace().map(id).collect()
}

/// A chat template in the style of published ones.
pub(crate) const TEMPLATE: &str = "{%- if messages[0]['role'] == 'system' %}
    {{- bos_token + ' ' + messages[0]['content'].strip() + ' ' }}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {{- bos_token + ' ' }}
    {%- set loop_messages = messages %}
{%- endif %}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Conversation roles must alternate user/assistant') }}
    {%- endif %}
    {%- if message['role'] == 'user' %}
        {{- '<user> ' + message['content'] + ' ' }}
    {%- else %}
        {{- '<assistant> ' + message['content'] | trim + ' ' + eos_token }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<assistant> ' }}
{%- endif %}
";

impl TinyDecoder {
    /// Writes weights, a tokenizer of words, its configuration and a chat template.
    pub(crate) fn complete(&self) -> &Self {
        self.write(u64::MAX).write_tokenizer();
        std::fs::write(self.file("chat_template.jinja"), TEMPLATE).unwrap();
        self
    }

    pub(crate) fn write_tokenizer(&self) {
        let words = SPECIAL.iter().chain(&WORDS).zip(0..);
        let vocabulary: serde_json::Map<String, Value> =
            words.map(|(word, id)| ((*word).to_owned(), json!(id))).collect();
        let added: Vec<Value> = (0..)
            .zip(SPECIAL)
            .map(|(id, token): (u32, _)| {
                json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                       "normalized": false, "special": true})
            })
            .collect();
        let tokenizer = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
            "pre_tokenizer": {"type": "WhitespaceSplit"},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}
            },
            "decoder": null,
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"}
        });
        std::fs::write(self.file("tokenizer.json"), tokenizer.to_string()).unwrap();
        let config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": {"__type": "AddedToken", "content": "<s>", "lstrip": false, "rstrip": false,
                "normalized": false, "single_word": false, "special": true}, "eos_token": "</s>",
            "unk_token": "<unk>", "pad_token": null
        });
        std::fs::write(self.file("tokenizer_config.json"), config.to_string()).unwrap();
    }
}
