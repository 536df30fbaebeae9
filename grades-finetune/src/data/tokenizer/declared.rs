//! The tokens that the files beside `tokenizer.json` declare, as `from_pretrained` of transformers reads them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::json_file::object;
use crate::data::error::Result;

/// The attributes that every tokenizer may have, in the order in which missing ones are added.
const ATTRIBUTES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Tokens with names, further special ones, and those with numbers.
#[derive(Debug, Default)]
pub(super) struct Declared {
    /// By attribute: `eos_token`, …, then those that only this model has.
    named: Vec<(String, AddedToken)>,
    extra: Vec<AddedToken>,
    /// In the order of their ids, which the library chooses anew for tokens that it does not have.
    numbered: BTreeMap<u64, AddedToken>,
}

impl Declared {
    /// Reads the files of a directory; `file` is `tokenizer.json`, `config` is `tokenizer_config.json`.
    pub(super) fn read(
        dir: &Path,
        config: &Map<String, Value>,
        file: &Map<String, Value>,
        defaults: &[(&str, &str)],
    ) -> Result<Self> {
        let mut declared = Self::default();
        declared.add(config);
        if let Some(Value::Object(decoder)) = config.get("added_tokens_decoder") {
            for (id, token) in decoder {
                if let (Ok(id), Some(token)) = (id.parse(), token_of(token, false)) {
                    declared.numbered.insert(id, token);
                }
            }
        } else {
            // Files of older versions, which count where the newer list is missing.
            declared.add(&object(&dir.join("special_tokens_map.json"))?);
            for (content, id) in object(&dir.join("added_tokens.json"))? {
                let special = declared.is_special(&content);
                if let Some(id) = id.as_u64() {
                    declared.numbered.insert(id, AddedToken::from(content, special));
                }
            }
            for token in file.get("added_tokens").and_then(Value::as_array).into_iter().flatten() {
                if let (Some(id), Some(token)) =
                    (token.get("id").and_then(Value::as_u64), token_of(token, false))
                {
                    declared.numbered.insert(id, token);
                }
            }
        }
        let padding =
            file.get("padding").and_then(|padding| padding.get("pad_token")).and_then(Value::as_str);
        for (attribute, content) in defaults.iter().copied().chain(padding.map(|token| ("pad_token", token)))
        {
            if declared.named(attribute).is_none() {
                declared.set(attribute, AddedToken::from(content.to_owned(), true));
            }
        }
        Ok(declared)
    }

    /// Adds the named and further tokens of a table; those that it names again replace the earlier ones.
    fn add(&mut self, table: &Map<String, Value>) {
        for (key, value) in table {
            if key.ends_with("_token")
                && let Some(token) = token_of(value, true)
            {
                self.set(key, token);
            }
        }
        let extra = table.get("extra_special_tokens").filter(|value| match value {
            Value::Array(list) => !list.is_empty(),
            Value::Object(list) => !list.is_empty(),
            _ => false,
        });
        match extra.or_else(|| table.get("additional_special_tokens")) {
            Some(Value::Array(list)) => {
                for token in list.iter().filter_map(|token| token_of(token, true)) {
                    if !self.extra.iter().any(|known| known.content == token.content) {
                        self.extra.push(token);
                    }
                }
            }
            Some(Value::Object(named)) => {
                for (key, value) in named {
                    if let Some(token) = token_of(value, true) {
                        self.set(key, token);
                    }
                }
            }
            _ => {}
        }
    }

    fn set(&mut self, attribute: &str, token: AddedToken) {
        self.named.retain(|(known, _)| known != attribute);
        self.named.push((attribute.to_owned(), token));
    }

    fn is_special(&self, content: &str) -> bool {
        let named = self.named.iter().filter(|(key, _)| ATTRIBUTES.contains(&key.as_str()));
        named.map(|(_, token)| token).chain(&self.extra).any(|token| token.content == content)
    }

    /// Returns the text of a named token.
    pub(super) fn named(&self, attribute: &str) -> Option<&str> {
        self.named.iter().find(|(key, _)| key == attribute).map(|(_, token)| token.content.as_str())
    }

    /// Returns the named tokens, those of every tokenizer first.
    fn in_order(&self) -> impl Iterator<Item = &(String, AddedToken)> {
        let position = |key: &str| ATTRIBUTES.iter().position(|known| *known == key);
        let mut list: Vec<&(String, AddedToken)> = self.named.iter().collect();
        list.sort_by_key(|(key, _)| position(key).unwrap_or(ATTRIBUTES.len()));
        list.into_iter()
    }

    /// Returns the names and texts of the named tokens.
    pub(super) fn into_names(self) -> Vec<(String, String)> {
        self.in_order().map(|(key, token)| (key.clone(), token.content.clone())).collect()
    }

    /// Returns what is to be added to a tokenizer that has the tokens of `known`.
    pub(super) fn tokens(&self, known: &[String]) -> Vec<AddedToken> {
        let mut tokens: Vec<AddedToken> = self.numbered.values().cloned().collect();
        for token in &mut tokens {
            token.special |= self.named.iter().any(|(_, named)| named.content == token.content);
        }
        for token in self.in_order().map(|(_, token)| token).chain(&self.extra) {
            if !known.contains(&token.content) && !tokens.iter().any(|other| other.content == token.content) {
                tokens.push(AddedToken { special: true, ..token.clone() });
            }
        }
        tokens
    }

    /// Returns all special tokens, plain.
    pub(super) fn plain(&self) -> Vec<AddedToken> {
        let tokens = self.in_order().map(|(_, token)| token).chain(&self.extra);
        tokens.map(|token| AddedToken::from(token.content.clone(), true)).collect()
    }
}

/// Reads a token: its text, or an object that has it.
fn token_of(value: &Value, special: bool) -> Option<AddedToken> {
    if let Some(content) = value.as_str() {
        return Some(AddedToken::from(content.to_owned(), special));
    }
    let content = value.get("content")?.as_str()?.to_owned();
    let flag = |key: &str| value.get(key).and_then(Value::as_bool);
    let special = flag("special").unwrap_or(special);
    Some(AddedToken {
        content,
        single_word: flag("single_word").unwrap_or(false),
        lstrip: flag("lstrip").unwrap_or(false),
        rstrip: flag("rstrip").unwrap_or(false),
        normalized: flag("normalized").unwrap_or(!special),
        special,
    })
}
