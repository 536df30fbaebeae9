//! What fuzzing has found, each as a test of its own.

use grades_examples::data::sequence::{ChatTemplate, Message, Vocabulary};
use grades_examples::model::BertConfig;
use serde_json::json;

use crate::tiny::Tiny;

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
    let messages = [Message { role: "user".to_owned(), content: "ask".to_owned() }];
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
