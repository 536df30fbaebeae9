//! Loads the tokenizer of a model directory, as `from_pretrained` of transformers does.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokenizers::processors::PostProcessorWrapper;

use super::class::Class;
use super::clock::timed;
use super::declared::Declared;
use super::json_file::object;
use super::library::{guarded, parse};
use super::{limits, parts};
use crate::data::error::{Error, Result};

/// A tokenizer, without truncation and padding, and what else its files say.
#[derive(Debug)]
pub(crate) struct Pretrained {
    pub(crate) inner: tokenizers::Tokenizer,
    /// The token to pad with, where the files name one that the tokenizer has.
    pub(crate) pad_id: Option<u32>,
    /// Whether texts that are too long lose their beginning.
    pub(crate) truncate_left: bool,
    /// Whether the model gets the segments of the tokens.
    pub(crate) types: bool,
}

impl Pretrained {
    /// Loads `tokenizer.json` and what stands beside it; `vocab.txt` alone gives a tokenizer of word pieces, `vocab.json`
    /// with `merges.txt` one of byte pairs.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when there is none of these, [`Error::File`] when one of the files makes no sense, or a tokenizer is
    /// there in another form only.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::metadata(path).map_or(0, |found| found.len());
        let own = path.to_path_buf();
        timed(path, Duration::from_secs(60 + bytes / 200_000), move || Self::load_here(&own))
    }

    fn load_here(path: &Path) -> Result<Self> {
        let dir = path.parent().unwrap_or(Path::new(""));
        let bytes = parts::file_or_parts(path)?;
        // A file that is no JSON is refused with the library's own words.
        let file: Map<String, Value> = serde_json::from_slice(&bytes).unwrap_or_default();
        limits::check(&file).map_err(|reason| Error::file(path, format!("is refused: {reason}")))?;
        let config = object(&dir.join("tokenizer_config.json"))?;
        let class = class_of(dir, &config, &file);
        let declared = Declared::read(dir, &config, &file, class.default_tokens())?;
        let mut inner = if class == Class::File {
            parse(path, &bytes)?
        } else {
            let mut own = file;
            class.apply(&mut own, &config, declared.named("unk_token").unwrap_or("[UNK]"));
            parse(path, Value::Object(own).to_string().as_bytes())?
        };
        let file_pad = inner.get_padding().map(|padding| padding.pad_id);
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| Error::file(path, format!("cannot be used: {error}")))?;
        let known: Vec<String> =
            inner.get_added_tokens_decoder().into_values().map(|token| token.content).collect();
        let mut tokens = declared.tokens(&known);
        if class == Class::Qwen2 {
            tokens.extend(declared.plain());
        }
        guarded(path, "its added tokens cannot be used", || inner.add_tokens(tokens))?;
        let special = config.get("split_special_tokens").and_then(Value::as_bool).unwrap_or(false);
        inner.set_encode_special_tokens(special);
        if class == Class::Bert {
            around_sentences(path, &mut inner, &declared)?;
        }
        let pad_id = declared.named("pad_token").and_then(|token| inner.token_to_id(token)).or(file_pad);
        let truncate_left = config.get("truncation_side").and_then(Value::as_str) == Some("left");
        let inputs = config.get("model_input_names").and_then(Value::as_array);
        let types =
            inputs.map_or(class == Class::Bert, |names| names.iter().any(|name| name == "token_type_ids"));
        Ok(Self { inner, pad_id, truncate_left, types })
    }
}

/// Returns the names and texts of a directory's special tokens, which chat templates use.
///
/// # Errors
///
/// As for [`Pretrained::load`].
pub(crate) fn special_tokens(dir: &Path) -> Result<Vec<(String, String)>> {
    let config = object(&dir.join("tokenizer_config.json"))?;
    let file: Map<String, Value> = match parts::file_or_parts(&dir.join("tokenizer.json")) {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
        Err(_) => Map::new(),
    };
    let class = class_of(dir, &config, &file);
    Ok(Declared::read(dir, &config, &file, class.default_tokens())?.into_names())
}

/// Returns the class of a directory's tokenizer.
fn class_of(dir: &Path, config: &Map<String, Value>, file: &Map<String, Value>) -> Class {
    // The model's own reader says what is wrong with its configuration.
    Class::of(config, &object(&dir.join("config.json")).unwrap_or_default(), file)
}

/// Sets the tokens that BERT has around a sentence and between two.
fn around_sentences(path: &Path, inner: &mut tokenizers::Tokenizer, declared: &Declared) -> Result<()> {
    let token = |attribute: &str, default: &str| declared.named(attribute).unwrap_or(default).to_owned();
    let (first, last) = (token("cls_token", "[CLS]"), token("sep_token", "[SEP]"));
    let ids = (inner.token_to_id(&first).unwrap_or(2), inner.token_to_id(&last).unwrap_or(3));
    let special = |token: &str, kind: u32| json!({"SpecialToken": {"id": token, "type_id": kind}});
    let sequence = |name: &str, kind: u32| json!({"Sequence": {"id": name, "type_id": kind}});
    let mut known = Map::new();
    for (token, id) in [(&first, ids.0), (&last, ids.1)] {
        known.insert(token.clone(), json!({"id": token, "ids": [id], "tokens": [token]}));
    }
    let processor = json!({
        "type": "TemplateProcessing",
        "single": [special(&first, 0), sequence("A", 0), special(&last, 0)],
        "pair": [special(&first, 0), sequence("A", 0), special(&last, 0), sequence("B", 1), special(&last, 1)],
        "special_tokens": known
    });
    let processor: PostProcessorWrapper =
        guarded(path, "its special tokens cannot be used", || serde_json::from_value(processor))?;
    inner.with_post_processor(Some(processor));
    Ok(())
}
