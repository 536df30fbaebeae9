//! What fuzzing has found, each as a test of its own.

use grades_examples::data::sequence::{ChatTemplate, Message, Vocabulary};

#[test]
fn a_tokenizer_whose_decoder_is_no_json_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenizer.json");
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
    for text in ["{{ '%999999999d'|format(1) }}", "{{ 'a'|indent(width=999999999, first=true) }}"] {
        std::fs::write(dir.path().join("chat_template.jinja"), text).unwrap();
        let error = ChatTemplate::load(dir.path()).unwrap().unwrap().render(&messages, true).unwrap_err();
        assert!(error.to_string().contains("the chat template fails"), "{error}");
    }
}
