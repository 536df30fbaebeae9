//! The classes of transformers that build a tokenizer from its vocabulary and the configuration, whatever else
//! `tokenizer.json` says.

use serde_json::{Map, Value, json};

/// A class, as far as it differs from the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// The file as it is.
    File,
    /// Splits words and finds pieces of them: `BertTokenizer`.
    Bert,
    /// Pieces with `▁` for spaces: `LlamaTokenizer`.
    Llama,
    /// Pieces of bytes after NFC: `Qwen2Tokenizer`.
    Qwen2,
    /// Pieces of bytes: `GPT2Tokenizer`.
    Gpt2,
}

impl Class {
    /// Returns the class that `AutoTokenizer` chooses by `tokenizer_config.json` and `config.json`.
    pub(super) fn of(
        config: &Map<String, Value>,
        model: &Map<String, Value>,
        file: &Map<String, Value>,
    ) -> Self {
        let text =
            |map: &Map<String, Value>, key: &str| map.get(key).and_then(Value::as_str).map(str::to_owned);
        let family = text(model, "model_type").unwrap_or_default();
        let named = text(config, "tokenizer_class").or_else(|| text(model, "tokenizer_class"));
        let named = named.map(|name| name.trim_end_matches("Fast").to_owned());
        // For these models the files count, whatever class they name.
        if ["mistral", "phi3"].contains(&family.as_str()) {
            return Self::File;
        }
        let class = match named.as_deref() {
            Some("BertTokenizer") => Self::Bert,
            Some("LlamaTokenizer") => Self::Llama,
            Some("Qwen2Tokenizer") => Self::Qwen2,
            Some("GPT2Tokenizer") => Self::Gpt2,
            Some(_) => Self::File,
            None => match family.as_str() {
                "bert" => Self::Bert,
                "qwen3" => Self::Qwen2,
                _ => Self::File,
            },
        };
        let kind = file.get("model").and_then(|model| model.get("type")).and_then(Value::as_str);
        let fits = match class {
            Self::File => true,
            Self::Bert => kind == Some("WordPiece"),
            // A file with pieces of bytes has another class than it says.
            Self::Llama => kind == Some("BPE") && !bytes_in(file.get("pre_tokenizer")),
            Self::Qwen2 | Self::Gpt2 => kind == Some("BPE"),
        };
        if fits { class } else { Self::File }
    }

    /// Returns the tokens that the class has unless the configuration names others.
    pub(super) fn default_tokens(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::File => &[],
            Self::Bert => &[
                ("unk_token", "[UNK]"),
                ("sep_token", "[SEP]"),
                ("pad_token", "[PAD]"),
                ("cls_token", "[CLS]"),
                ("mask_token", "[MASK]"),
            ],
            Self::Llama => &[("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>")],
            Self::Qwen2 => &[
                ("eos_token", "<|endoftext|>"),
                ("unk_token", "<|endoftext|>"),
                ("pad_token", "<|endoftext|>"),
            ],
            Self::Gpt2 => &[
                ("bos_token", "<|endoftext|>"),
                ("eos_token", "<|endoftext|>"),
                ("unk_token", "<|endoftext|>"),
            ],
        }
    }

    /// Replaces in `tokenizer.json` what the class sets itself; `unknown` is the token for unknown words.
    pub(super) fn apply(self, file: &mut Map<String, Value>, config: &Map<String, Value>, unknown: &str) {
        let flag = |key: &str| config.get(key).and_then(Value::as_bool);
        let mut set = |key: &str, value: Value| {
            file.insert(key.to_owned(), value);
        };
        let bytes_decoder = || json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true});
        match self {
            Self::File => return,
            Self::Bert => {
                set(
                    "normalizer",
                    json!({
                        "type": "BertNormalizer", "clean_text": true,
                        "handle_chinese_chars": flag("tokenize_chinese_chars").unwrap_or(true),
                        "strip_accents": flag("strip_accents"), "lowercase": flag("do_lower_case").unwrap_or(true)
                    }),
                );
                set("pre_tokenizer", json!({"type": "BertPreTokenizer"}));
                set("decoder", json!({"type": "WordPiece", "prefix": "##", "cleanup": true}));
            }
            Self::Llama => {
                let (prefix, legacy) =
                    (flag("add_prefix_space").unwrap_or(true), flag("legacy").unwrap_or(false));
                let scheme = match (prefix, legacy) {
                    (false, _) => "never",
                    (true, true) => "always",
                    (true, false) => "first",
                };
                set("normalizer", Value::Null);
                set(
                    "pre_tokenizer",
                    json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": false}),
                );
                let mut decoders = vec![
                    json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
                    json!({"type": "ByteFallback"}),
                    json!({"type": "Fuse"}),
                ];
                if prefix {
                    decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
                }
                set("decoder", json!({"type": "Sequence", "decoders": decoders}));
            }
            Self::Qwen2 => {
                const WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
                let prefix = flag("add_prefix_space").unwrap_or(false);
                set("normalizer", json!({"type": "NFC"}));
                set(
                    "pre_tokenizer",
                    json!({"type": "Sequence", "pretokenizers": [
                        {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Isolated", "invert": false},
                        {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": false}]}),
                );
                set("decoder", bytes_decoder());
            }
            Self::Gpt2 => {
                let prefix = flag("add_prefix_space").unwrap_or(false);
                set("normalizer", Value::Null);
                set(
                    "pre_tokenizer",
                    json!({"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": true}),
                );
                set("decoder", bytes_decoder());
            }
        }
        let Some(Value::Object(model)) = file.get_mut("model") else { return };
        let mut set = |key: &str, value: Value| {
            model.insert(key.to_owned(), value);
        };
        match self {
            Self::File => {}
            Self::Bert => {
                set("unk_token", unknown.into());
                set("continuing_subword_prefix", "##".into());
                set("max_input_chars_per_word", 100.into());
            }
            Self::Llama => {
                for (key, value) in [("fuse_unk", true), ("byte_fallback", true), ("ignore_merges", false)] {
                    set(key, value.into());
                }
                for key in ["unk_token", "dropout", "continuing_subword_prefix", "end_of_word_suffix"] {
                    set(key, Value::Null);
                }
            }
            Self::Qwen2 | Self::Gpt2 => {
                for key in ["fuse_unk", "byte_fallback", "ignore_merges"] {
                    set(key, false.into());
                }
                for key in ["unk_token", "dropout"] {
                    set(key, Value::Null);
                }
                for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
                    set(key, "".into());
                }
            }
        }
    }
}

/// Returns whether a pre-tokenizer, or one of a sequence, makes bytes.
fn bytes_in(pre_tokenizer: Option<&Value>) -> bool {
    let Some(value) = pre_tokenizer else { return false };
    value.get("type").and_then(Value::as_str) == Some("ByteLevel")
        || value
            .get("pretokenizers")
            .and_then(Value::as_array)
            .is_some_and(|list| list.iter().any(|one| bytes_in(Some(one))))
}
