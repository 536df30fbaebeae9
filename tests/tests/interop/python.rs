//! Python, asked through the scripts of `tests/python`.

use std::path::Path;
use std::process::Command;

use grades_models::bert::{BertClassifier, LoadOptions};
use grades_tests::tolerance::{Computation, assert_within};
use serde_json::{Value, json};
use tch::{Kind, Tensor};

use crate::workspace;

/// Whether these tests are to be left out: there is no Python beside a libtorch that the user brought.
pub(crate) fn skipped() -> bool {
    let skip = std::env::var_os("GRADES_SKIP_INTEROP").is_some_and(|value| value == "1");
    if skip {
        // Not captured by the test harness.
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"skipped, because GRADES_SKIP_INTEROP=1: the comparison with transformers\n",
        );
    }
    skip
}

/// Runs a script of `tests/python` with a question in JSON, and returns its answer; the paths of both are its last arguments.
pub(crate) fn run_script(script: &str, packages: &[&str], question: &Value) -> Value {
    run_script_with(script, packages, &[], question)
}

pub(crate) fn run_script_with(script: &str, packages: &[&str], first: &[&Path], question: &Value) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let (inputs, out) = (dir.path().join("question.json"), dir.path().join("answer.json"));
    std::fs::write(&inputs, question.to_string()).unwrap();
    run_program(script, packages, &[first, &[&inputs, &out]].concat());
    serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap()
}

/// Runs a program of `tests/python` that needs transformers, and must succeed.
pub(crate) fn script(name: &str, arguments: &[&Path]) {
    run_program(&format!("tests/python/{name}"), &["torch", "transformers", "peft"], arguments);
}

fn run_program(script: &str, packages: &[&str], arguments: &[&Path]) {
    let python = workspace(".venv/bin/python");
    let ready = python.exists()
        && Command::new(&python)
            .args([
                "-c",
                "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, sys.argv[1:])))",
            ])
            .args(packages)
            .status()
            .is_ok_and(|status| status.success());
    let wanted = packages.join(", ");
    assert!(ready, "{} with {wanted} is not there: run `make setup-interop`", python.display());
    let output = Command::new(&python)
        .arg(workspace(script))
        .args(arguments)
        .env("HF_HUB_OFFLINE", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The logits of a saved model by transformers, and the names of its labels by id.
fn ask(model: &Path, ids: &[Vec<i64>], mask: &[Vec<i64>]) -> (Tensor, Vec<String>) {
    let question = json!({"ids": ids, "mask": mask});
    let answer =
        run_script_with("tests/python/bert_logits.py", &["torch", "transformers"], &[model], &question);
    let logits: Vec<Vec<f64>> = serde_json::from_value(answer["logits"].clone()).unwrap();
    let names = answer["id2label"].as_object().unwrap();
    let names = (0..names.len()).map(|id| names[&id.to_string()].as_str().unwrap().to_owned()).collect();
    (Tensor::from_slice2(&logits), names)
}

/// Saved models have the same labels and logits for transformers as for us, padding included.
pub(crate) fn assert_same(model: &Path, sentences: &[&[i64]], computation: Computation) {
    let longest = sentences.iter().map(|ids| ids.len()).max().unwrap();
    let padded = |values: &dyn Fn(i64) -> i64| -> Vec<Vec<i64>> {
        let row = |ids: &&[i64]| {
            let padding = std::iter::repeat_n(0, longest - ids.len());
            ids.iter().map(|id| values(*id)).chain(padding).collect()
        };
        sentences.iter().map(row).collect()
    };
    let (ids, mask) = (padded(&|id| id), padded(&|_| 1));
    let (theirs, names) = ask(model, &ids, &mask);

    let (model, report) = BertClassifier::load(model, LoadOptions::default()).unwrap();
    assert_eq!(report.fresh, [""; 0], "the saved model is complete");
    assert_eq!(model.labels(), names);
    let (ids, mask) = (Tensor::from_slice2(&ids), Tensor::from_slice2(&mask));
    let ours = tch::no_grad(|| model.forward(&ids, &mask, false)).unwrap();
    let tolerance = computation.tolerance(Kind::Float);
    assert_within(&ours, &theirs, tolerance, "logits by transformers");
    let spread = f64::try_from(theirs.std(false) / theirs.abs().max()).unwrap();
    assert!(spread > 100.0 * tolerance, "the logits are all alike: {theirs}");
}
