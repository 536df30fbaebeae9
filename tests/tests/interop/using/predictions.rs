//! Predictions beside the pipelines of transformers.

use grades_finetune::data::TextReader;
use grades_finetune::predict::{Classifier, ClassifierOptions, ModelFiles, load_classifier};
use grades_models::bert::{BertClassifier, LoadOptions};
use grades_tests::tolerance::{MINILM, assert_number_within};
use serde_json::json;
use tch::Kind;

use crate::python::{run_script_with, skipped};
use crate::workspace;

/// Sentences of many lengths, with capitals, accents, other scripts, and words that are cut into pieces.
fn sentences(count: usize) -> Vec<String> {
    const PARTS: [&str; 12] = [
        "The film was unexpectedly good",
        "ein Café in Zürich",
        "it wasn't bad, but overlong",
        "東京 is far away",
        "uncharacteristically-hyphenated wordiness!",
        "2,345.67 people came",
        "🔥 nothing else",
        "she said \"no\" twice",
        "A",
        "tabs\tand   spaces",
        "the quick brown fox jumps over the lazy dog and then it sleeps for a very long while",
        "https://example.org/path?x=1",
    ];
    let part = |i: usize| PARTS[i % PARTS.len()];
    (0..count)
        .map(|i| (0..=i % 5).map(|j| part(i * 7 + j * 5 + i / 12)).collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn five_hundred_predictions_are_those_of_the_pipeline() {
    if skipped() {
        return;
    }
    let base = workspace("models/all-MiniLM-L6-v2");
    let labels = Some(["up", "same", "down"].map(String::from).to_vec());
    let (mut model, _) =
        BertClassifier::load(&base, LoadOptions { labels, ..LoadOptions::default() }).unwrap();
    // As drawn the head is so small that all predictions are alike.
    tch::no_grad(|| {
        let _ = model.var_store_mut().variables().get_mut("classifier.weight").unwrap().g_mul_scalar_(20.0);
    });
    let dir = tempfile::tempdir().unwrap();
    model.save(dir.path()).unwrap();
    let texts = sentences(500);
    let theirs = run_script_with(
        "tests/python/classify.py",
        &["torch", "transformers"],
        &[dir.path()],
        &json!({"texts": texts}),
    );

    let files = ModelFiles::find(Some(dir.path()), None).unwrap();
    let model = load_classifier(&files, LoadOptions::default()).unwrap();
    // Windows that end within the list, and batches of other sizes than theirs.
    let options = ClassifierOptions { batch_size: 24, window: 130, ..ClassifierOptions::default() };
    let mut classifier = Classifier::new(model, &files, options).unwrap();
    let mut found = Vec::new();
    let mut reader = TextReader::list(texts.iter().map(|text| (text.clone(), None)).collect());
    classifier
        .predict_all(&mut reader, &mut |text, prediction| {
            found.push((text.text.clone(), prediction.clone()));
            Ok(())
        })
        .unwrap();
    assert_eq!(found.iter().map(|(text, _)| text).collect::<Vec<_>>(), texts.iter().collect::<Vec<_>>());
    let theirs = theirs["predictions"].as_array().unwrap();
    assert_eq!(theirs.len(), 500);
    let tolerance = MINILM.tolerance(Kind::Float);
    let mut seen = [0; 3];
    for ((text, ours), theirs) in found.iter().zip(theirs) {
        let mut most = ("", -1.0);
        for (label, value) in classifier.labels().iter().zip(&ours.probabilities) {
            let expected = theirs[label].as_f64().unwrap();
            assert_number_within(f64::from(*value), expected, tolerance, text);
            if expected > most.1 {
                most = (label, expected);
            }
        }
        assert_eq!(classifier.labels()[ours.label], most.0, "{text}");
        seen[ours.label] += 1;
    }
    assert!(seen.iter().filter(|count| **count > 0).count() > 1, "all labels are alike: {seen:?}");
}
