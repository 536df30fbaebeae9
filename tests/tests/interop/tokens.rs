//! Token ids, loss masks and losses of conversations, prompts, sentences and pairs of them, beside transformers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use grades_finetune::data::sequence::{
    ChatTemplate, EncodeOptions, Encoder, KeyNames, Sequence, TooLong, Turns, Vocabulary, collate,
    read_examples,
};
use grades_finetune::data::{Dataset, Labels, Limits, Record, Records, Tokenizer};
use grades_models::bert::{BertClassifier, LoadOptions};
use grades_models::decoder::{Decoder, LoadOptions as DecoderOptions};
use grades_tests::tolerance::SAME_TOKENS;
use serde::Deserialize;
use tch::{Device, Kind};

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
    loss: f64,
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

    /// The sequence that we make of the line, and its mask.
    fn ours(&self, root: &Path, encoder: &Encoder) -> Result<(Sequence, Vec<u8>), String> {
        let path = root.join("line.jsonl");
        std::fs::write(&path, &self.line).unwrap();
        let examples = read_examples(&path, &KeyNames::default()).map_err(|error| error.to_string())?;
        let sequences = encoder.encode(&examples).map_err(|error| error.to_string())?;
        let sequence = &sequences.list[0];
        let mut mask = vec![0; sequence.ids.len()];
        for target in sequence.targets.iter().cloned().flatten() {
            mask[target] = 1;
        }
        Ok((sequence.clone(), mask))
    }
}

/// The mean loss of a sequence's targets.
fn loss(model: &Decoder, sequence: &Sequence) -> f64 {
    let batch = collate(&[vec![sequence]], Device::Cpu).unwrap();
    let losses = tch::no_grad(|| model.losses(&batch.tokens, &batch.targets)).unwrap();
    f64::try_from(losses.mean(Kind::Double)).unwrap()
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
    let double = DecoderOptions { dtype: Kind::Double, ..DecoderOptions::default() };
    let (model, _) = Decoder::load(&dir.path().join("decoder"), double).unwrap();
    for case in &cases {
        combinations.insert((case.folder.as_str(), case.line.as_str()));
        let encoder = encoders.entry(&case.folder).or_insert_with(|| case.encoder(dir.path()));
        encoder.options = case.options();
        match case.ours(dir.path(), encoder) {
            Ok((Sequence { ids, .. }, _)) if ids != case.ids => {
                wrong.push(format!("{} {}\n  ids  {ids:?}\n  not  {:?}", case.folder, case.line, case.ids));
            }
            Ok((_, mask)) if mask != case.mask => {
                wrong.push(format!(
                    "{} {} {}\n  mask {mask:?}\n  not  {:?}",
                    case.folder, case.turns, case.line, case.mask
                ));
            }
            Ok((sequence, _)) => {
                let loss = loss(&model, &sequence);
                if (loss - case.loss).abs() > SAME_TOKENS * case.loss {
                    wrong.push(format!("{} {}\n  loss {loss} not {}", case.folder, case.line, case.loss));
                }
            }
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

/// Pairs, and what transformers makes of them in one batch.
#[derive(Deserialize)]
struct Pairs {
    folder: String,
    max_tokens: usize,
    pairs: Vec<[String; 2]>,
    ids: Vec<Vec<u32>>,
    types: Vec<Vec<u8>>,
    logits: Vec<Vec<f64>>,
}

impl Pairs {
    /// Returns how our tokens or logits differ from those of transformers; `None` where they agree.
    fn difference(&self, root: &Path) -> Option<String> {
        let folder = root.join(&self.folder);
        let (model, _) = BertClassifier::load(&folder, LoadOptions::default()).unwrap();
        let limits = Limits { max_tokens: self.max_tokens, max_positions: 32, vocab_size: 40 };
        let tokenizer = Tokenizer::load(&folder.join("tokenizer.json"), limits).unwrap();
        let record = |(line, [text, pair]): (u64, &[String; 2])| Record {
            line,
            text: text.clone(),
            pair: Some(pair.clone()),
            label: "a".to_owned(),
        };
        let list: Vec<Record> = (1..).zip(&self.pairs).map(record).collect();
        let records = Records { list, ..Records::default() };
        let labels = Labels::from_names(vec!["a".to_owned(), "b".to_owned()]).unwrap();
        let dataset = Dataset::new(&records, &labels, &tokenizer).unwrap();
        let indices: Vec<usize> = (0..self.pairs.len()).collect();
        for &index in &indices {
            let (ids, mut types) = (dataset.tokens(index).unwrap(), dataset.types(index).to_vec());
            types.resize(ids.len(), 0);
            if (ids, &types) != (&self.ids[index], &self.types[index]) {
                return Some(format!("{ids:?} {types:?}, not {:?} {:?}", self.ids[index], self.types[index]));
            }
            let both = tokenizer.encode_pair(&self.pairs[index][0], &self.pairs[index][1]).unwrap();
            assert_eq!(both, (ids.to_vec(), types));
        }
        let batch = dataset.collate(&indices, Device::Cpu).unwrap();
        let logits = tch::no_grad(|| match &batch.types {
            Some(types) => model.forward_pairs(&batch.ids, types, &batch.mask, false),
            None => model.forward(&batch.ids, &batch.mask, false),
        });
        let logits = Vec::<f64>::try_from(logits.unwrap().to_kind(Kind::Double).view(-1)).unwrap();
        let expected = || self.logits.iter().flatten();
        let worst = logits.iter().zip(expected()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let largest = expected().fold(0.0, |largest: f64, logit| largest.max(logit.abs()));
        (worst > SAME_TOKENS * largest).then(|| format!("logits of size {largest} differ by {worst}"))
    }
}

#[test]
fn pairs_have_the_tokens_and_the_logits_that_transformers_gives_them() {
    if skipped() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    script("tokens.py", &[dir.path(), Path::new("pairs")]);
    let cases: Vec<Pairs> =
        serde_json::from_slice(&std::fs::read(dir.path().join("pairs.json")).unwrap()).unwrap();
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            Some(format!("{} {}: {}", case.folder, case.max_tokens, case.difference(dir.path())?))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.iter().any(|case| case.types.iter().flatten().any(|&segment| segment == 1)));
}
