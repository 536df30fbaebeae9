//! What fuzzing has found, each as a test of its own.

use grades_examples::data::sequence::Vocabulary;

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
