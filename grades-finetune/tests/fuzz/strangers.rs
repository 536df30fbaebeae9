//! Templates and tokenizers that nobody would write but to do harm: none ends this process, and none runs for long.

use std::path::Path;
use std::time::{Duration, Instant};

use grades_finetune::data::sequence::{ChatTemplate, Message, Vocabulary, isolate_templates};
use serde_json::{Value, json};

use crate::driver::{fuzz_made, refusal};
use crate::jinja::template;
use crate::mutate::Numbers;

#[test]
fn templates_of_strangers() {
    isolate_templates(Path::new(env!("CARGO_BIN_EXE_finetune")));
    let dir = tempfile::tempdir().unwrap();
    let messages = [Message::new("user", "ask <|im_end|>"), Message::new("assistant", "blue")];
    let mut ended = 0u64;
    let limit = Duration::from_millis(200);
    fuzz_made("strange-template", (120, 100_000), template, |bytes| {
        std::fs::write(dir.path().join("chat_template.jinja"), bytes).unwrap();
        let begun = Instant::now();
        let rendered = ChatTemplate::load_within(dir.path(), limit).and_then(|template| {
            template.map_or(Ok(String::new()), |template| template.render(&messages, true))
        });
        // A process that is started anew, on a machine that has other things to do.
        assert!(begun.elapsed() < limit + Duration::from_secs(20), "it takes {:?}", begun.elapsed());
        let refused = refusal(rendered);
        ended += u64::from(
            refused.as_ref().is_some_and(|reason| reason.contains("makes no sense to the library")),
        );
        // What a template says is no trouble of ours.
        refused.map(|reason| reason.replace("allocate", "get").replace("enough memory", "memory"))
    });
    println!("strange-template: {ended} ended the process that renders, or made its library panic");
}

fn pattern(numbers: &mut Numbers) -> Value {
    let regex = numbers.one(&[
        "",
        "a",
        ".",
        "(a+)+$",
        "(?i:'s|'t)|\\p{L}+",
        "\\s+(?!\\S)",
        "(a|aa)+b",
        "(((((((((a*)*)*)*)*)*)*)*)*)*c",
        "[",
        "(?<=a*)b",
        "\\b",
        "^$",
        "(a?){30}a{30}",
        "\\p{Greek}",
        "(?:)",
        "(?<n>a)\\k<n>",
    ]);
    let deep = "(".repeat(1 << numbers.below(13));
    match numbers.below(8) {
        0 => json!({"String": numbers.one(&["", "a", " ", "▁", "ab"])}),
        1 => json!({"Regex": format!("{deep}a{}", ")".repeat(deep.len()))}),
        2 => json!({"Regex": regex.repeat(1 << numbers.below(8))}),
        3 => json!({"Regex": format!("a{{{}}}", 1u64 << numbers.below(34))}),
        _ => json!({"Regex": regex}),
    }
}

/// A part of a tokenizer: a normalizer, a pre-tokenizer, a processor or a decoder.
fn part(numbers: &mut Numbers, depth: usize) -> Value {
    const KINDS: [&str; 30] = [
        "BertNormalizer",
        "Strip",
        "StripAccents",
        "NFC",
        "NFD",
        "NFKC",
        "Lowercase",
        "Nmt",
        "Precompiled",
        "Replace",
        "Prepend",
        "ByteLevel",
        "Whitespace",
        "WhitespaceSplit",
        "BertPreTokenizer",
        "Metaspace",
        "CharDelimiterSplit",
        "Punctuation",
        "Split",
        "Digits",
        "UnicodeScripts",
        "FixedLength",
        "TemplateProcessing",
        "BertProcessing",
        "WordPiece",
        "ByteFallback",
        "Fuse",
        "CTC",
        "BPEDecoder",
        "RobertaProcessing",
    ];
    if depth > 0 && numbers.below(3) == 0 {
        let key = numbers.one(&["normalizers", "pretokenizers", "processors", "decoders"]);
        let count = 1 + numbers.seldom(10, 60, 4);
        let list: Vec<Value> = if numbers.below(2) == 0 {
            vec![part(numbers, depth - 1); count]
        } else {
            (0..count.min(8)).map(|_| part(numbers, depth - 1)).collect()
        };
        return json!({"type": "Sequence", key: list});
    }
    let flag = numbers.below(2) == 0;
    let text = ["", "a", "aaaaaaaa", "▁", "\u{0}", "🔥"][numbers.below(6)].repeat(1 << numbers.below(8));
    let charsmap = {
        let length = numbers.below(40);
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
        (0..length).map(|_| char::from(letters[numbers.below(letters.len())])).collect::<String>()
    };
    json!({
        "type": numbers.one(&KINDS), "clean_text": flag, "handle_chinese_chars": flag, "strip_accents": flag, "lowercase": flag,
        "strip_left": flag, "strip_right": !flag, "left": flag, "right": !flag, "precompiled_charsmap": charsmap, "pattern": pattern(numbers),
        "content": text, "prepend": text, "add_prefix_space": flag, "trim_offsets": flag, "use_regex": !flag, "replacement": numbers.one(&["▁", "", "ab", "a"]),
        "prepend_scheme": numbers.one(&["first", "always", "never", "x"]), "split": flag, "delimiter": numbers.one(&["a", "", "ab"]),
        "behavior": numbers.one(&["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous", "x"]), "invert": flag,
        "individual_digits": flag, "length": numbers.below(4), "single": [{"Sequence": {"id": numbers.one(&["A", "B"]), "type_id": numbers.below(300)}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": {},
        "sep": ["a", numbers.below(1 << 20)], "cls": ["b", numbers.below(9)], "prefix": text, "cleanup": flag, "pad_token": "a",
        "word_delimiter_token": "", "suffix": text, "start": numbers.below(99), "stop": numbers.below(99)
    })
}

fn tokenizer(numbers: &mut Numbers) -> Vec<u8> {
    let mut vocabulary = serde_json::Map::new();
    let pieces = ["a", "b", "ab", "aa", "##a", "▁", "▁a", "Ġ", "<unk>", "", "🔥", "<0x00>", "aaaa", "\u{0}"];
    for (id, piece) in pieces.iter().enumerate() {
        if numbers.below(30) > 0 {
            let id = if numbers.below(100) == 0 { numbers.next() >> numbers.below(64) } else { id as u64 };
            vocabulary.insert((*piece).to_owned(), id.into());
        }
    }
    let merges: Vec<Value> = (0..numbers.below(12))
        .map(|at| {
            // Most are of pieces that the vocabulary has.
            let known = [("a", "a"), ("a", "b"), ("▁", "a"), ("aa", "aa")];
            let (one, other) = known[at % 4];
            let (one, other) = if numbers.below(9) == 0 {
                (numbers.one(&pieces), numbers.one(&pieces))
            } else {
                (one, other)
            };
            if numbers.below(6) == 0 { json!(format!("{one} {other}")) } else { json!([one, other]) }
        })
        .collect();
    let flag = numbers.below(2) == 0;
    let unknown = numbers.one(&["<unk>", "a", "none", ""]);
    let model = match numbers.below(5) {
        0 => {
            json!({"type": "BPE", "vocab": vocabulary, "merges": merges, "unk_token": unknown, "fuse_unk": flag, "byte_fallback": flag,
            "dropout": numbers.one(&["0", "1", "2"]).parse::<f64>().unwrap(), "continuing_subword_prefix": numbers.one(&["", "##"]), "ignore_merges": flag})
        }
        1 => {
            json!({"type": "WordPiece", "vocab": vocabulary, "unk_token": unknown, "continuing_subword_prefix": numbers.one(&["", "##"]),
            "max_input_chars_per_word": numbers.one(&["0", "100", "1000000000"]).parse::<u64>().unwrap()})
        }
        2 => json!({"type": "WordLevel", "vocab": vocabulary, "unk_token": unknown}),
        3 => json!({"type": "Unigram", "unk_id": numbers.below(20), "byte_fallback": flag,
            "vocab": vocabulary.keys().map(|piece| json!([piece, -(numbers.below(20) as f64)])).collect::<Vec<_>>()}),
        _ => json!({"type": "BPE", "vocab": vocabulary, "merges": merges}),
    };
    let added: Vec<Value> = (0..numbers.seldom(20, 2000, 4))
        .map(|at| {
            let content = ["a", "", " ", "<|x|>", "ab ab", "\u{0}", "é", "é\u{301}"][numbers.below(8)];
            json!({"id": if numbers.below(9) == 0 { numbers.next() >> 32 } else { at as u64 }, "content": content.repeat(1 << numbers.below(6)),
                "single_word": numbers.below(2) == 0, "lstrip": numbers.below(2) == 0, "rstrip": flag, "normalized": numbers.below(2) == 0,
                "special": numbers.below(2) == 0})
        })
        .collect();
    let optional = |numbers: &mut Numbers| if numbers.below(3) > 0 { Value::Null } else { part(numbers, 2) };
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": optional(numbers),
        "pre_tokenizer": optional(numbers), "post_processor": optional(numbers), "decoder": optional(numbers), "model": model
    })
    .to_string()
    .into_bytes()
}

#[test]
fn tokenizers_of_strangers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenizer.json");
    let texts = ["ab ab  a\n\u{0}é🔥", &"a".repeat(300), &"a b ▁ ".repeat(60), ""];
    fuzz_made("strange-tokenizer", (500, 100_000), tokenizer, |bytes| {
        std::fs::write(&path, bytes).unwrap();
        let begun = Instant::now();
        let read = Vocabulary::load(&path, 1 << 20).and_then(|vocabulary| {
            for text in texts {
                let ids = vocabulary.encode(text, true)?;
                vocabulary.decode(&ids)?;
            }
            Ok(())
        });
        assert!(begun.elapsed() < Duration::from_secs(60), "it takes {:?}", begun.elapsed());
        refusal(read)
    });
}
