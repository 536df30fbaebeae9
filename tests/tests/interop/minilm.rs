//! all-MiniLM-L6-v2 with a head of ours.

use grades_models::bert::{BertClassifier, LoadOptions};
use grades_tests::tolerance::MINILM;

use crate::python::{assert_same, skipped};
use crate::workspace;

#[test]
fn transformers_reads_minilm_with_our_head() {
    if skipped() {
        return;
    }
    let base = workspace("models/all-MiniLM-L6-v2");
    assert!(base.join("config.json").exists(), "{} is not there: run `make setup`", base.display());
    let labels = Some(["up", "same", "down"].map(String::from).to_vec());
    let (mut model, report) =
        BertClassifier::load(&base, LoadOptions { labels, ..LoadOptions::default() }).unwrap();
    assert_eq!(report.fresh, ["classifier.bias", "classifier.weight"]);
    // As drawn the head is so small that much else could be wrong unseen.
    tch::no_grad(|| {
        let mut variables = model.var_store_mut().variables();
        let weight = variables.get_mut("classifier.weight").unwrap();
        let _ = weight.g_mul_scalar_(20.0);
    });
    let saved = tempfile::tempdir().unwrap();
    model.save(saved.path()).unwrap();
    drop(model);

    let sentences: [&[i64]; 3] = [
        &[101, 7592, 2088, 102],
        &[101, 1996, 2047, 3259, 2003, 2204, 1010, 2021, 1996, 2214, 2028, 2001, 2488, 1012, 102],
        &[101, 30521, 999, 102],
    ];
    assert_same(saved.path(), &sentences, MINILM);
}
