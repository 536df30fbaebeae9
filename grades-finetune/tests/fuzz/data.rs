//! Examples, tokenizers and chat templates.

use std::path::Path;

use grades_finetune::data::sequence::{
    ChatTemplate, EncodeOptions, Encoder, KeyNames, Message, TooLong, Turns, Vocabulary, read_examples,
};
use grades_finetune::data::{Column, Dataset, Format, Labels, Limits, Source, Tokenizer, read};
use serde_json::json;

use crate::driver::{fuzz, refusal};
use crate::tiny::{Tiny, VOCABULARY};
use crate::tiny_decoder::TinyDecoder;

const LIMITS: Limits = Limits { max_tokens: 12, max_positions: 16, vocab_size: VOCABULARY };

fn tokenizer(dir: &Path) -> Tokenizer {
    Tiny::classifier().write_to(dir);
    Tokenizer::load(&dir.join("tokenizer.json"), LIMITS).unwrap()
}

fn labelled(name: &str, counts: (u64, u64), format: Format, text: &str, columns: [Column; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let tokenizer = tokenizer(dir.path());
    let path = dir.path().join("examples");
    let [text_column, label] = columns;
    let source = Source { format: Some(format), text: text_column, label, ..Source::default() };
    let words = ["\t", "\"", "\n", "\r\n", ",", "\u{feff}", "yes", "\"\"", "{\"text\":", "\u{202e}", "\u{0}"];
    fuzz(name, counts, &[text.as_bytes().to_vec()], &words, |bytes| {
        std::fs::write(&path, bytes).unwrap();
        let records = match read(&path, &source) {
            Ok(records) => records,
            Err(error) => return Some(error.to_string()),
        };
        let labels = match Labels::from_records(&records) {
            Ok(labels) => labels,
            Err(error) => return Some(error.to_string()),
        };
        refusal(Dataset::new(&records, &labels, &tokenizer))
    });
}

#[test]
fn tsv() {
    let text = "sentence\tlabel\nvery good film\tyes\nbad day\tno\n\"very\" good\tyes\n";
    labelled("tsv", (300, 110_000), Format::Tsv, text, [Column::Position(0), Column::Position(-1)]);
}

#[test]
fn csv() {
    let text = "text,label\n\"very, good\",yes\nbad,no\n\"a \"\"b\"\"\nc\",yes\n";
    labelled(
        "csv",
        (300, 110_000),
        Format::Csv,
        text,
        [Column::Name("text".into()), Column::Name("label".into())],
    );
}

#[test]
fn jsonl() {
    let text = "{\"text\": \"very good\", \"label\": \"yes\"}\n{\"text\": \"bad \\u00e4\", \"label\": 0}\n";
    labelled(
        "jsonl",
        (300, 110_000),
        Format::Jsonl,
        text,
        [Column::Name("text".into()), Column::Name("label".into())],
    );
}

fn encoder(dir: &Path) -> Encoder {
    Encoder {
        vocabulary: Vocabulary::load(&dir.join("tokenizer.json"), 40).unwrap(),
        template: ChatTemplate::load(dir).unwrap(),
        end: Some(2),
        options: EncodeOptions {
            max_tokens: 32,
            too_long: TooLong::Truncate,
            turns: Turns::All,
            chat: false,
        },
    }
}

#[test]
fn examples_of_decoders() {
    let tiny = TinyDecoder::new(json!({}));
    tiny.complete();
    let encoder = encoder(tiny.path());
    let seeds = [
        "{\"text\": \"what is the sky\"}\n{\"text\": \"grass\"}\n",
        "{\"prompt\": \"what is the sky ?\", \"response\": \"blue\"}\n",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"ask\"}, {\"role\": \"assistant\", \"content\": \"say\"}]}\n",
        "{\"prompt\": \"the sky ?\", \"choices\": [\"blue\", \"green\"], \"answer\": 0}\n",
    ]
    .map(|text| text.as_bytes().to_vec());
    let path = tiny.file("examples.jsonl");
    let words =
        ["\"role\":", "system", "\"messages\":[]", "\"answer\":-1", "\n", "\\ud800", "\"choices\":[]"];
    fuzz("decoder.jsonl", (300, 80_000), &seeds, &words, |bytes| {
        std::fs::write(&path, bytes).unwrap();
        match read_examples(&path, &KeyNames::default()) {
            Ok(examples) => refusal(encoder.encode(&examples)),
            Err(error) => Some(error.to_string()),
        }
    });
}

#[test]
fn tokenizers_of_classifiers() {
    let dir = tempfile::tempdir().unwrap();
    tokenizer(dir.path());
    let path = dir.path().join("tokenizer.json");
    let seed = std::fs::read(&path).unwrap();
    let words = [
        "\"type\":\"BPE\"",
        "\"type\":\"Unigram\"",
        "\"merges\":[]",
        "\"type\":\"Replace\"",
        "Lowercase",
        "\"id\":",
    ];
    fuzz("bert-tokenizer.json", (80, 25_000), &[seed], &words, |bytes| {
        std::fs::write(&path, bytes).unwrap();
        match Tokenizer::load(&path, LIMITS) {
            Ok(tokenizer) => refusal(tokenizer.encode("very good\u{e4} [SEP] unknownword 好")),
            Err(error) => Some(error.to_string()),
        }
    });
}

#[test]
fn tokenizers_of_decoders() {
    let tiny = TinyDecoder::new(json!({}));
    tiny.complete();
    let small = std::fs::read(tiny.file("tokenizer.json")).unwrap();
    let path = tiny.file("tokenizer.json");
    let bytes_level = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "\\s+|[^\\s]+"}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]},
        "post_processor": null, "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": "a", "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 3, "c": 4}, "merges": [["a", "b"]]}
    });
    let words = [
        "\"Regex\":\"(a|a)*$\"",
        "\"type\":\"Unigram\"",
        "\"merges\":[[\"a\",\"a\"]]",
        "\"dropout\":2.0",
        "\"vocab\":{}",
    ];
    fuzz(
        "decoder-tokenizer.json",
        (80, 25_000),
        &[small, bytes_level.to_string().into_bytes()],
        &words,
        |bytes| {
            std::fs::write(&path, bytes).unwrap();
            match Vocabulary::load(&path, 40) {
                Ok(vocabulary) => refusal(vocabulary.encode("what is ab c \u{e4} <s>", true))
                    .or(refusal(vocabulary.decode(&[0, 1, 4, 39]))),
                Err(error) => Some(error.to_string()),
            }
        },
    );
}

#[test]
fn chat_templates() {
    let tiny = TinyDecoder::new(json!({}));
    tiny.complete();
    let path = tiny.file("chat_template.jinja");
    let seed = std::fs::read(&path).unwrap();
    let words = [
        "{% for i in range(100000) %}",
        "{% endfor %}",
        "{{ 'a' * 100000000 }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% include 'chat_template' %}",
        "{{ messages|tojson }}",
        "{{ [1] * 100000000 }}",
        "|join(",
        "'%999999999d'|format(1)",
    ];
    let message = |role: &str| Message::new(role, "ask");
    let messages = [message("user"), message("assistant")];
    fuzz("chat_template.jinja", (100, 6_000), &[seed], &words, |bytes| {
        std::fs::write(&path, bytes).unwrap();
        match ChatTemplate::load(tiny.path()) {
            Ok(Some(template)) => refusal(template.render(&messages, true)),
            Ok(None) => Some("there is none".to_owned()),
            Err(error) => Some(error.to_string()),
        }
    });
    std::fs::write(&path, "{{ messages }}").unwrap();
    let path = tiny.file("tokenizer_config.json");
    let seed = std::fs::read(&path).unwrap();
    fuzz("tokenizer_config.json", (150, 20_000), &[seed], &["\"chat_template\":[{"], |bytes| {
        std::fs::write(&path, bytes).unwrap();
        match ChatTemplate::load(tiny.path()) {
            Ok(Some(template)) => refusal(template.render(&messages, true)),
            Ok(None) => Some("there is none".to_owned()),
            Err(error) => Some(error.to_string()),
        }
    });
}
