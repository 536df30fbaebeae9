//! Sentences to tokens, and tokens to tensors.

use std::path::{Path, PathBuf};

use grades_finetune::data::{Dataset, Labels, Limits, Tokenizer};
use tch::{Device, Kind, Tensor};

use crate::data::examples::{file, labels, records, tokenizer_file};

const LIMITS: Limits = Limits { max_tokens: 6, max_positions: 8, vocab_size: 9 };

fn dataset(list: &[(&str, &str)], known: &Labels, limits: Limits) -> Result<Dataset, String> {
    let (_dir, path) = tokenizer_file();
    let tokenizer = Tokenizer::load(&path, limits).unwrap();
    Dataset::new(&records(list), known, &tokenizer).map_err(|error| error.to_string())
}

/// Sentences and their tokens by transformers, from `grades-models/tests/golden/bert_logits.py`.
#[derive(serde::Deserialize)]
struct Golden {
    sentences: Vec<String>,
    ids: Vec<Vec<i64>>,
    mask: Vec<Vec<i64>>,
}

/// all-MiniLM-L6-v2, from `GRADES_MINILM` or from `models/` at the workspace root.
fn minilm() -> PathBuf {
    std::env::var_os("GRADES_MINILM").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/all-MiniLM-L6-v2"),
        PathBuf::from,
    )
}

#[test]
fn tokens_match_transformers() {
    let golden: Golden =
        serde_json::from_str(include_str!("../../../../grades-models/tests/golden/bert_logits.json"))
            .unwrap();
    let limits = Limits { max_tokens: 128, max_positions: 512, vocab_size: 30522 };
    let tokenizer = Tokenizer::load(&minilm().join("tokenizer.json"), limits).unwrap();
    for (sentence, (ids, mask)) in golden.sentences.iter().zip(golden.ids.iter().zip(&golden.mask)) {
        let length = usize::try_from(mask.iter().sum::<i64>()).unwrap();
        let found: Vec<i64> = tokenizer.encode(sentence).unwrap().into_iter().map(i64::from).collect();
        assert_eq!(found, ids[..length], "{sentence}");
    }
}

#[test]
fn the_settings_of_the_file_are_replaced() {
    let (_dir, path) = tokenizer_file();
    let tokenizer = Tokenizer::load(&path, LIMITS).unwrap();
    assert_eq!(tokenizer.encode("a b c").unwrap(), [2, 4, 5, 6, 3]);
    assert_eq!(tokenizer.encode("a b c d e a").unwrap(), [2, 4, 5, 6, 7, 3]);
    assert_eq!(tokenizer.pad_id(), 0);
}

#[test]
fn limits_are_checked() {
    let (_dir, path) = tokenizer_file();
    let error = |limits| Tokenizer::load(&path, limits).unwrap_err().to_string();
    let found = error(Limits { max_tokens: 9, ..LIMITS });
    assert_eq!(found, "max_tokens = 9 is beyond the 8 positions of the model");
    let found = error(Limits { max_tokens: 2, ..LIMITS });
    assert_eq!(found, "max_tokens = 2 leaves no room beside 2 special tokens");

    let list = [("a b", "x"), ("a e", "y")];
    let found = dataset(&list, &labels(&["x", "y"]), Limits { vocab_size: 8, ..LIMITS }).unwrap_err();
    let expected = "token \"e\" has id 8, the model's vocabulary has 8 tokens";
    assert!(found.starts_with("train.tsv:2: ") && found.contains(expected), "{found}");

    let (_dir, path) = file("tokenizer.json", b"{\"version\": \"1.0\"}");
    let found = Tokenizer::load(&path, LIMITS).unwrap_err().to_string();
    assert!(found.contains("tokenizer.json: is no tokenizer: "), "{found}");
    let found = Tokenizer::load("gone.json".as_ref(), LIMITS).unwrap_err().to_string();
    assert!(found.starts_with("cannot read gone.json"), "{found}");
}

#[test]
fn a_dataset_keeps_the_order_and_counts_what_was_cut() {
    let list = [("a", "y"), ("b c d e a", "x"), ("zzz e", "x"), ("a b c d", "y")];
    let set = dataset(&list, &labels(&["x", "y"]), LIMITS).unwrap();
    assert_eq!((set.len(), set.truncated()), (4, 1));
    assert_eq!(set.lengths(), [3, 6, 4, 6]);
    assert_eq!(set.labels(), [1, 0, 0, 1]);
    assert_eq!(set.tokens(0), Some(&[2, 4, 3][..]));
    assert_eq!(set.tokens(1), Some(&[2, 5, 6, 7, 8, 3][..]));
    assert_eq!(set.tokens(2), Some(&[2, 1, 8, 3][..]));
    assert_eq!((set.tokens(4), set.label(4)), (None, None));
}

#[test]
fn an_unknown_label_is_named() {
    let error = dataset(&[("a", "x"), ("b", "z")], &labels(&["x", "y"]), LIMITS).unwrap_err();
    assert_eq!(error, "train.tsv:2: unknown label \"z\"; the known labels are x, y");
}

#[test]
fn a_batch_is_padded_to_its_longest() {
    let list = [("a", "y"), ("b c d e", "x"), ("a b", "y")];
    let set = dataset(&list, &labels(&["x", "y"]), LIMITS).unwrap();
    let batch = set.collate(&[2, 0], Device::Cpu).unwrap();
    assert_eq!(batch.ids, Tensor::from_slice(&[2i64, 4, 5, 3, 2, 4, 3, 0]).view([2, 4]));
    assert_eq!(batch.mask, Tensor::from_slice(&[1i64, 1, 1, 1, 1, 1, 1, 0]).view([2, 4]));
    assert_eq!(batch.labels, Tensor::from_slice(&[1i64, 1]));
    assert_eq!(batch.tokens, 7);
    for tensor in [&batch.ids, &batch.mask, &batch.labels] {
        assert_eq!(tensor.kind(), Kind::Int64);
    }
    let error = |indices: &[usize]| set.collate(indices, Device::Cpu).unwrap_err().to_string();
    assert_eq!(error(&[]), "a batch without examples");
    assert_eq!(error(&[0, 3]), "example 3 of a dataset with 3 examples");
}

#[test]
fn merges_make_a_tokenizer_for_the_classes_that_read_them_and_others_name_the_cure() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let load = || {
        let path = dir.path().join("tokenizer.json");
        let limits = Limits { max_tokens: 8, max_positions: 8, vocab_size: 9 };
        Tokenizer::load(&path, limits)
            .map_err(|error| error.to_string().replace(&dir.path().display().to_string(), "DIR"))
    };
    assert!(load().unwrap_err().starts_with("cannot read DIR/tokenizer.json: "));
    write("tokenizer.model", "");
    let cure = "`python -c 'from transformers import AutoTokenizer as A; A.from_pretrained(\"DIR\").save_pretrained(\"DIR\")'` \
                writes tokenizer.json";
    assert_eq!(
        load().unwrap_err(),
        format!("DIR/tokenizer.json: is missing; tokenizer.model is read by Python alone: {cure}")
    );
    write("vocab.json", r#"{"h": 0, "i": 1, "Ġ": 2, "hi": 3, "Ġhi": 4, "<|endoftext|>": 5}"#);
    write("merges.txt", "#version: 0.2\nh i\nĠ hi\n");
    for (config, found) in
        [(r#"{"tokenizer_class": "LlamaTokenizer"}"#, "it is \"LlamaTokenizer\""), ("{}", "none is named")]
    {
        write("tokenizer_config.json", config);
        assert_eq!(
            load().unwrap_err(),
            format!(
                "DIR/tokenizer.json: is missing; vocab.json and merges.txt are read for \"tokenizer_class\" GPT2Tokenizer and \
                 Qwen2Tokenizer (tokenizer_config.json), and {found} here: {cure}"
            )
        );
    }
    write("tokenizer_config.json", r#"{"tokenizer_class": "GPT2Tokenizer"}"#);
    assert_eq!(load().unwrap().encode("hi hi<|endoftext|>").unwrap(), [3, 4, 5]);
    write("merges.txt", "hi\n");
    assert_eq!(load().unwrap_err(), "DIR/merges.txt:1: expected two pieces with a space between them");
}
