//! Classifiers that others made: their labels and what they are trained to.

use grades_models::bert::{BertClassifier, LoadOptions};
use serde_json::{Value, json};

use crate::support::Tiny;

fn occurring(names: &[&str]) -> LoadOptions {
    let labels = Some(names.iter().map(|name| (*name).to_owned()).collect());
    LoadOptions { labels, subset: true, ..LoadOptions::default() }
}

#[test]
fn a_models_own_labels_stay_in_their_order_and_data_may_have_some_of_them() {
    let tiny = Tiny::classifier();
    tiny.write();
    let names = |options| BertClassifier::load(tiny.path(), options).unwrap().0.labels().to_vec();
    for occur in [&["no", "yes"][..], &["yes", "no"], &["yes"], &["no"]] {
        assert_eq!(names(occurring(occur)), ["no", "yes"], "{occur:?}");
    }
    let error = tiny.error(occurring(&["no", "maybe"]));
    assert!(error.contains("2 labels (no, yes)") && error.contains("no, maybe"), "{error}");
    let new_head = LoadOptions { new_head: true, ..occurring(&["yes"]) };
    assert_eq!(names(new_head), ["yes"]);
}

#[test]
fn what_a_classifier_is_trained_to_is_read_as_transformers_does() {
    let mut tiny = Tiny::classifier();
    let load =
        |tiny: &Tiny, options| BertClassifier::load(tiny.write().path(), options).map(|(model, _)| model);
    tiny.config["problem_type"] = json!("single_label_classification");
    load(&tiny, LoadOptions::default()).unwrap();
    for problem in ["multi_label_classification", "regression"] {
        tiny.config["problem_type"] = json!(problem);
        let error = load(&tiny, LoadOptions::default()).unwrap_err().to_string();
        let expected = format!(
            "\"problem_type\" is \"{problem}\", which is not supported; supported: single_label_classification; a new head \
             replaces this classifier"
        );
        assert!(error.ends_with(&expected), "{error}");
        // A new head is a classifier of single labels, and saved as such.
        let model = load(&tiny, LoadOptions { new_head: true, ..occurring(&["a", "b"]) }).unwrap();
        let saved = tempfile::tempdir().unwrap();
        model.save(saved.path()).unwrap();
        let config: Value =
            serde_json::from_slice(&std::fs::read(saved.path().join("config.json")).unwrap()).unwrap();
        assert_eq!(config["problem_type"], "single_label_classification");
    }
    // One output and nothing said: `transformers` regresses.
    let mut one = Tiny::classifier();
    one.add("classifier.weight", &[1, 8]);
    one.add("classifier.bias", &[1]);
    one.config["id2label"] = json!({"0": "score"});
    let error = load(&one, LoadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("\"problem_type\" is absent, which for one label means regression"), "{error}");
}

#[test]
fn a_quantization_is_not_carried_along() {
    let mut tiny = Tiny::classifier();
    tiny.config["quantization_config"] = json!({"quant_method": "gptq"});
    let saved = tempfile::tempdir().unwrap();
    tiny.write().load().save(saved.path()).unwrap();
    let text = std::fs::read_to_string(saved.path().join("config.json")).unwrap();
    assert!(!text.contains("quantization_config"));
    tiny.tensors.remove("bert.encoder.layer.0.output.dense.weight");
    tiny.add("bert.encoder.layer.0.output.dense.qweight", &[3]);
    let error = tiny.write().error(LoadOptions::default());
    assert!(error.contains("\"quantization_config\" (gptq): quantised weights are not supported"), "{error}");
}
