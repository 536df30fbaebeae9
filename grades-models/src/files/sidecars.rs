//! Files that go with a model unchanged.

use std::io;
use std::path::Path;

use crate::error::{Error, Result};

/// The tokenizer's files and those that say how to generate.
const NAMES: [&str; 11] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
];

/// The contents of those files, kept since loading: the source may be gone when the training ends.
#[derive(Debug)]
pub(crate) struct Sidecars(pub(super) Vec<(&'static str, Vec<u8>)>);

impl Sidecars {
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let mut files = Vec::new();
        for name in NAMES {
            let path = dir.join(name);
            match grades_lora::read_regular(&path) {
                Ok(bytes) => files.push((name, bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(Error::io("read", &path, source)),
            }
        }
        Ok(Self(files))
    }

    /// Returns the bytes of a file, when it is there.
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, bytes)| bytes.as_slice())
    }
}
