//! Training under autocast to bf16, beside PyTorch's.

use std::path::Path;
use std::process::Command;

use grades::optim::{AdamConfig, InnerOptimizer};
use grades_models::bert::{self, BertClassifier};
use grades_models::decoder::{self, Backward, Decoder, Targets, Tokens};
use serde_json::{Value, json};
use tch::{Kind, Tensor};

use crate::decoder::models;
use crate::python::skipped;
use crate::workspace;

const STEPS: usize = 20;
const ROWS: i64 = 4;
const COLUMNS: i64 = 12;

fn ids(vocabulary: i64) -> Vec<i64> {
    (0..ROWS * COLUMNS).map(|at| 5 + at * 7919 % (vocabulary - 5)).collect()
}

/// The losses of transformers, in f32 and under autocast.
fn theirs(kind: &str, model: &Path, batch: &Value, rate: f64) -> [Vec<f64>; 2] {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("batch.json");
    std::fs::write(&file, batch.to_string()).unwrap();
    let output = Command::new(workspace(".venv/bin/python"))
        .arg(workspace("tests/python/autocast_losses.py"))
        .args([kind.as_ref(), model.as_os_str(), file.as_os_str()])
        .args([STEPS.to_string(), rate.to_string()])
        .env("HF_HUB_OFFLINE", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let losses: Value = serde_json::from_str(text.trim())
        .unwrap_or_else(|_| panic!("{text} {}", String::from_utf8_lossy(&output.stderr)));
    ["f32", "autocast"].map(|key| serde_json::from_value(losses[key].clone()).unwrap())
}

/// Compares losses under autocast.
///
/// Both round the same values to bf16, in other orders of sums: each is off the losses in f32 by about what PyTorch's are, so
/// they are apart by at most the sum of both, and by the rounding of a loss's logits, 2⁻⁸, where PyTorch's happens to be exact.
fn assert_same_curve(ours: &[f64], [single, half]: &[Vec<f64>; 2], what: &str) {
    let apart = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let bound = 2.0 * apart(single, half) + single[0] / 256.0;
    assert!(apart(ours, half) <= bound, "{what}: {ours:?}, theirs {half:?}, in f32 {single:?}");
    let fell = single[0] - single[STEPS - 1];
    assert!(fell > 5.0 * bound, "{what}: a loss that falls by {fell} proves nothing of {bound}");
}

#[test]
fn the_losses_of_bert_are_those_of_transformers() {
    if skipped() {
        return;
    }
    let base = workspace("models/all-MiniLM-L6-v2");
    let labels = Some(["a", "b"].map(String::from).to_vec());
    let saved = tempfile::tempdir().unwrap();
    let options = bert::LoadOptions { labels, ..Default::default() };
    BertClassifier::load(&base, options).unwrap().0.save(saved.path()).unwrap();

    let options = bert::LoadOptions { autocast: true, ..Default::default() };
    let model = BertClassifier::load(saved.path(), options).unwrap().0;
    let ids = ids(20_000);
    let labels: Vec<i64> = (0..ROWS).map(|row| row % 2).collect();
    let rows: Vec<&[i64]> = ids.chunks(COLUMNS as usize).collect();
    let theirs = theirs("bert", saved.path(), &json!({"ids": rows, "labels": labels}), 5e-5);
    let (batch, labels) = (Tensor::from_slice(&ids).view([ROWS, COLUMNS]), Tensor::from_slice(&labels));
    let mut optimizer = AdamConfig::adamw().wd(0.0).build(model.var_store(), 5e-5).unwrap();
    let mut step = || {
        optimizer.zero_grad().unwrap();
        let loss =
            model.forward(&batch, &batch.ones_like(), false).unwrap().cross_entropy_for_logits(&labels);
        loss.backward();
        for variable in model.var_store().variables().values() {
            assert!(!variable.grad().defined() || variable.grad().kind() == Kind::Float);
        }
        optimizer.step().unwrap();
        f64::try_from(loss).unwrap()
    };
    let ours: Vec<f64> = (0..STEPS).map(|_| step()).collect();
    assert_same_curve(&ours, &theirs, "MiniLM");
}

#[test]
fn the_losses_of_llama_are_those_of_transformers() {
    if skipped() {
        return;
    }
    let name = models::names().into_iter().find(|name| name.starts_with("llama")).unwrap();
    let options = decoder::LoadOptions { autocast: true, ..Default::default() };
    let model = models::load(name, options);
    let ids = ids(model.vocab_size());
    let rows: Vec<&[i64]> = ids.chunks(COLUMNS as usize).collect();
    let theirs = theirs("decoder", &models::folder().join(name), &json!({"ids": rows, "labels": []}), 5e-3);
    let ours = decoder_losses(&model, &ids, 5e-3);
    assert_same_curve(&ours, &theirs, name);
}

fn decoder_losses(model: &Decoder, ids: &[i64], rate: f64) -> Vec<f64> {
    let positions: Vec<i64> = (0..ROWS * COLUMNS).filter(|at| at % COLUMNS != COLUMNS - 1).collect();
    let next: Vec<i64> = positions.iter().map(|&at| ids[at as usize + 1]).collect();
    let targets = Targets { positions: Tensor::from_slice(&positions), ids: Tensor::from_slice(&next) };
    let tokens = Tokens::from(Tensor::from_slice(ids).view([ROWS, COLUMNS]));
    let count = next.len() as f64;
    let mut optimizer = AdamConfig::adamw().wd(0.0).build(model.var_store(), rate).unwrap();
    let mut step = || {
        optimizer.zero_grad().unwrap();
        let how = Backward { scale: 1.0 / count, checkpointing: false, dropout: None };
        let pass = model.backward(&tokens, &targets, how).unwrap();
        pass.rest.backward();
        optimizer.step().unwrap();
        f64::try_from(pass.loss).unwrap() / count
    };
    (0..STEPS).map(|_| step()).collect()
}
