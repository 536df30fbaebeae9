//! Files for the tests.

use std::path::PathBuf;

use grades_finetune::data::{Column, Labels, Record, Records, Source, read};
use serde_json::json;

use crate::support::Folder;

/// A source as a user would write it on the command line.
pub(crate) fn source(text: &str, label: &str) -> Source {
    let column = |name: &str| name.parse::<Column>().unwrap();
    Source { text: column(text), label: column(label), ..Source::default() }
}

/// A file in a folder of its own.
pub(crate) fn file(name: &str, content: &[u8]) -> (Folder, PathBuf) {
    let folder = Folder::empty();
    folder.write(name, content);
    let path = folder.path(name);
    (folder, path)
}

/// Reads `content` as a file called `name`.
pub(crate) fn examples(name: &str, content: &[u8], source: &Source) -> Result<Records, String> {
    let (folder, path) = file(name, content);
    read(&path, source).map_err(|error| folder.relative(&error.to_string()))
}

/// Examples made of their texts and labels.
pub(crate) fn records(list: &[(&str, &str)]) -> Records {
    let list = (1..).zip(list).map(|(line, (text, label))| {
        let (text, label) = ((*text).to_owned(), (*label).to_owned());
        Record { line, text, pair: None, label }
    });
    Records { path: "train.tsv".into(), list: list.collect(), ..Records::default() }
}

pub(crate) fn labels(names: &[&str]) -> Labels {
    Labels::from_names(names.iter().map(|name| (*name).to_owned()).collect()).unwrap()
}

/// A tokenizer that knows the words a to e, and asks for a truncation and padding of its own.
pub(crate) fn tokenizer_file() -> (Folder, PathBuf) {
    let vocabulary = json!({
        "[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 4, "b": 5, "c": 6, "d": 7, "e": 8
    });
    let special = |id: u32, token: &str| {
        json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    let tokenizer = json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 20}, "direction": "Right", "pad_to_multiple_of": null,
                    "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": [special(0, "[PAD]"), special(1, "[UNK]"), special(2, "[CLS]"), special(3, "[SEP]")],
        "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}
    });
    file("tokenizer.json", tokenizer.to_string().as_bytes())
}
