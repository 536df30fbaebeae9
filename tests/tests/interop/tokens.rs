//! Token ids and loss masks of conversations, prompts and sentences, beside transformers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use grades_finetune::data::sequence::{
    ChatTemplate, EncodeOptions, Encoder, KeyNames, TooLong, Turns, Vocabulary, read_examples,
};
use grades_finetune::data::{Limits, Tokenizer};
use serde::Deserialize;

use crate::python::{script, skipped};

/// A vocabulary that no id is beyond.
const SIZE: i64 = 1 << 20;

/// One line of a data file, and what transformers makes of it.
#[derive(Deserialize)]
struct Case {
    folder: String,
    line: String,
    end: Option<u32>,
    date: Option<String>,
    turns: String,
    max_tokens: usize,
    ids: Vec<u32>,
    mask: Vec<u8>,
}

#[derive(Deserialize)]
struct Sentence {
    folder: String,
    text: String,
    ids: Vec<u32>,
}

impl Case {
    fn options(&self) -> EncodeOptions {
        EncodeOptions {
            max_tokens: self.max_tokens,
            too_long: TooLong::Truncate,
            turns: if self.turns == "last" { Turns::Last } else { Turns::All },
            chat: false,
        }
    }

    fn encoder(&self, root: &Path) -> Encoder {
        let folder = root.join(&self.folder);
        let date = self.date.as_ref().map(|date| date.parse().unwrap());
        Encoder {
            vocabulary: Vocabulary::load(&folder.join("tokenizer.json"), SIZE).unwrap(),
            template: ChatTemplate::load(&folder).unwrap().map(|template| template.with_date(date)),
            end: self.end,
            options: self.options(),
        }
    }

    /// The ids and the mask that we make of the line.
    fn ours(&self, root: &Path, encoder: &Encoder) -> Result<(Vec<u32>, Vec<u8>), String> {
        let path = root.join("line.jsonl");
        std::fs::write(&path, &self.line).unwrap();
        let examples = read_examples(&path, &KeyNames::default()).map_err(|error| error.to_string())?;
        let sequences = encoder.encode(&examples).map_err(|error| error.to_string())?;
        let sequence = &sequences.list[0];
        let mut mask = vec![0; sequence.ids.len()];
        for target in sequence.targets.iter().cloned().flatten() {
            mask[target] = 1;
        }
        Ok((sequence.ids.clone(), mask))
    }
}

#[test]
fn conversations_and_prompts_have_the_tokens_and_the_mask_that_transformers_gives_them() {
    if skipped() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    script("tokens.py", &[dir.path()]);
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&read("cases.json")).unwrap();
    let mut wrong = Vec::new();
    let mut combinations = BTreeSet::new();
    let mut encoders: BTreeMap<&str, Encoder> = BTreeMap::new();
    for case in &cases {
        combinations.insert((case.folder.as_str(), case.line.as_str()));
        let encoder = encoders.entry(&case.folder).or_insert_with(|| case.encoder(dir.path()));
        encoder.options = case.options();
        match case.ours(dir.path(), encoder) {
            Ok((ids, _)) if ids != case.ids => {
                wrong.push(format!("{} {}\n  ids  {ids:?}\n  not  {:?}", case.folder, case.line, case.ids));
            }
            Ok((_, mask)) if mask != case.mask => {
                wrong.push(format!(
                    "{} {} {}\n  mask {mask:?}\n  not  {:?}",
                    case.folder, case.turns, case.line, case.mask
                ));
            }
            Ok(_) => {}
            Err(error) => wrong.push(format!("{} {} {}\n  {error}", case.folder, case.turns, case.line)),
        }
    }
    let sentences: Vec<Sentence> = serde_json::from_slice(&read("sentences.json")).unwrap();
    for sentence in &sentences {
        let path = dir.path().join(&sentence.folder).join("tokenizer.json");
        let limits = Limits { max_tokens: 512, max_positions: 512, vocab_size: SIZE };
        let ids = Tokenizer::load(&path, limits).unwrap().encode(&sentence.text).unwrap();
        if ids != sentence.ids {
            wrong.push(format!(
                "{} {:?}\n  ids  {ids:?}\n  not  {:?}",
                sentence.folder, sentence.text, sentence.ids
            ));
        }
    }
    let shown: Vec<String> = wrong.iter().take(20).map(|text| text.chars().take(1500).collect()).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} are wrong:\n{}",
        wrong.len(),
        cases.len() + sentences.len(),
        shown.join("\n")
    );
    assert!(combinations.len() > 1000, "{} combinations", combinations.len());
}
