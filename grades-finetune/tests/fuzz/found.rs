//! What fuzzing has found, each as a test of its own.

use grades_finetune::data::sequence::{ChatTemplate, Message, Vocabulary};
use grades_models::bert::{BertClassifier, BertConfig, LoadOptions};
use grades_models::decoder::{Decoder, LoadOptions as DecoderOptions};
use serde_json::json;

use crate::tiny::Tiny;
use crate::tiny_decoder::TinyDecoder;

#[test]
fn tokenizers_that_the_library_panics_on_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenizer.json");
    let unknown = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "decoder": null, "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"},
        "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}],
            "pair": [], "special_tokens": {}}
    });
    std::fs::write(&path, unknown.to_string()).unwrap();
    let encoded = Vocabulary::load(&path, 40).and_then(|vocabulary| vocabulary.encode("a", true));
    assert!(encoded.unwrap_err().to_string().contains("tokenizer"));
    for text in [
        "{\"decoder\":{\"type\":\"ByteLevel\"",
        "{\"decoder\":{\"type\" \"ByteLevel\"}}",
        "{\"decoder\":{\"a\":",
    ] {
        std::fs::write(&path, text).unwrap();
        let error = Vocabulary::load(&path, 40).unwrap_err().to_string();
        assert!(error.contains("is no tokenizer: "), "{error}");
    }
}

/// The process was aborted: there was no memory for a text of 2 GB.
#[test]
fn a_template_cannot_ask_for_gigabytes() {
    let dir = tempfile::tempdir().unwrap();
    let messages = [Message::new("user", "ask")];
    for text in [
        "{{ '%999999999d'|format(1) }}",
        "{{ 'a'|indent(width=999999999, first=true) }}",
        // A list without end.
        "{{ [1] * 1000000000000 }}",
    ] {
        std::fs::write(dir.path().join("chat_template.jinja"), text).unwrap();
        let error = ChatTemplate::load(dir.path()).unwrap().unwrap().render(&messages, true).unwrap_err();
        assert!(error.to_string().contains("the chat template fails"), "{error}");
    }
}

/// The process was aborted: a million blocks were made before the files were looked at.
#[test]
fn a_classifier_cannot_ask_for_a_million_blocks() {
    let mut tiny = Tiny::classifier();
    tiny.config["num_hidden_layers"] = json!(1_000_000);
    tiny.write_config();
    let error = BertConfig::load(tiny.path()).unwrap_err().to_string();
    assert!(error.contains("\"num_hidden_layers\": expected at most 4096, found 1000000"), "{error}");
}

/// A billion names were made for labels that have none.
#[test]
fn a_classifier_cannot_ask_for_a_billion_labels() {
    let mut tiny = Tiny::base();
    tiny.config["num_labels"] = json!(1 << 30);
    tiny.write_config();
    let error = BertConfig::load(tiny.path()).unwrap_err().to_string();
    let expected =
        "\"num_labels\": expected at most 1048576 where there is no \"id2label\", found 1073741824";
    assert!(error.contains(expected), "{error}");
}

/// libtorch was asked for a table of 300 GB, where the machine's allocator might have promised it.
#[test]
fn sizes_are_checked_against_the_files_before_anything_is_made() {
    for (key, size) in [
        ("vocab_size", 1 << 30),
        ("hidden_size", 1 << 20),
        ("intermediate_size", 1 << 30),
        ("max_position_embeddings", 1 << 30),
        ("type_vocab_size", 1 << 30),
        ("num_hidden_layers", 4096),
    ] {
        let mut tiny = Tiny::classifier();
        tiny.write_to(tiny.path());
        tiny.config[key] = json!(size);
        tiny.write_config();
        let error = BertClassifier::load(tiny.path(), LoadOptions::default()).unwrap_err().to_string();
        let blocks = error.contains("lacks 65504 of the model's tensors: \"bert.encoder.layer.2.");
        assert!(error.contains(&size.to_string()) || blocks, "{key}: {error}");
    }
    for make in [TinyDecoder::new, TinyDecoder::phi3] {
        for (key, size) in [
            ("vocab_size", 1 << 30),
            ("hidden_size", 1 << 20),
            ("intermediate_size", 1 << 29),
            ("head_dim", 1 << 26),
            ("num_hidden_layers", 4096),
        ] {
            let tiny = make(json!({}));
            tiny.complete();
            let path = tiny.file("config.json");
            let mut config: serde_json::Value =
                serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            config[key] = json!(size);
            std::fs::write(&path, config.to_string()).unwrap();
            let error = Decoder::load(tiny.path(), DecoderOptions::default()).unwrap_err().to_string();
            let blocks = error.contains("of the model's tensors: \"model.layers.2.");
            assert!(error.contains("config.json asks for") || blocks, "{key}: {error}");
        }
    }
}
