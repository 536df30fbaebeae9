//! Tokenizers whose files are older than `tokenizer.json`: vocabularies, and merges of byte pairs.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::class::Class;
use super::json_file::object;
use crate::data::content;
use crate::data::error::{Error, Result};

/// Reads `tokenizer.json`, or makes one of `vocab.txt` (a word piece a line), or of `vocab.json` and `merges.txt` for the
/// classes that read them.
///
/// # Errors
///
/// [`Error::Io`] when there is none of these, [`Error::File`] for files that make no sense or that only Python reads.
pub(super) fn file_or_parts(path: &Path) -> Result<Vec<u8>> {
    let missing = match content::read(path) {
        Ok(bytes) => return Ok(bytes),
        Err(error) => error,
    };
    let absent =
        matches!(&missing, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound);
    let beside = |name: &str| path.with_file_name(name);
    let there = |name: &str| absent && beside(name).exists();
    let model = if there("vocab.txt") {
        word_pieces(&beside("vocab.txt"))?
    } else if there("vocab.json") && there("merges.txt") {
        byte_pairs(path, &beside("vocab.json"), &beside("merges.txt"))?
    } else if there("tokenizer.model") {
        let message = format!("is missing; tokenizer.model is read by Python alone: {}", cure(path));
        return Err(Error::file(path, message));
    } else {
        return Err(missing);
    };
    let pieces = model.get("type").and_then(Value::as_str) == Some("WordPiece");
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "post_processor": null,
        "normalizer": if pieces {
            json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
                "lowercase": true})
        } else {
            Value::Null
        },
        "pre_tokenizer": if pieces { json!({"type": "BertPreTokenizer"}) } else { Value::Null },
        "decoder": if pieces { json!({"type": "WordPiece", "prefix": "##", "cleanup": true}) } else { Value::Null },
        "model": model
    });
    Ok(file.to_string().into_bytes())
}

/// Returns the line that writes `tokenizer.json` with transformers.
fn cure(path: &Path) -> String {
    let dir = path.parent().unwrap_or(Path::new("")).display();
    format!(
        "`python -c 'from transformers import AutoTokenizer as A; A.from_pretrained(\"{dir}\").save_pretrained(\"{dir}\")'` \
         writes tokenizer.json"
    )
}

fn word_pieces(path: &Path) -> Result<Value> {
    let bytes = content::read(path)?;
    let text = content::utf8(path, 1, &bytes)?;
    let lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    let vocabulary: Map<String, Value> =
        (0u32..).zip(lines).map(|(id, piece)| (piece.trim_end_matches('\r').to_owned(), id.into())).collect();
    Ok(json!({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": vocabulary}))
}

/// Makes the model of the classes that split bytes; others use such files in ways of their own.
fn byte_pairs(path: &Path, vocabulary: &Path, merges: &Path) -> Result<Value> {
    let dir = path.parent().unwrap_or(Path::new(""));
    let config = object(&dir.join("tokenizer_config.json"))?;
    let named = config.get("tokenizer_class").and_then(Value::as_str);
    let bytes = content::read(merges)?;
    let mut pairs = Vec::new();
    for (line, bytes) in content::lines(&bytes) {
        let text = content::utf8(merges, line, bytes)?;
        if line == 1 && text.starts_with("#version") {
            continue;
        }
        let (one, other) = text
            .split_once(' ')
            .ok_or_else(|| Error::line(merges, line, "expected two pieces with a space between them"))?;
        pairs.push([one.to_owned(), other.to_owned()]);
    }
    let model = json!({"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
        "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
        "vocab": object(vocabulary)?, "merges": pairs});
    let mut file = Map::new();
    file.insert("model".to_owned(), model.clone());
    let family = object(&dir.join("config.json")).unwrap_or_default();
    if matches!(Class::of(&config, &family, &file), Class::Gpt2 | Class::Qwen2) {
        return Ok(model);
    }
    let found =
        named.map_or_else(|| "none is named".to_owned(), |name| format!("it is \"{}\"", name.escape_debug()));
    let message = format!(
        "is missing; vocab.json and merges.txt are read for \"tokenizer_class\" GPT2Tokenizer and Qwen2Tokenizer \
         (tokenizer_config.json), and {found} here: {}",
        cure(path)
    );
    Err(Error::file(path, message))
}
