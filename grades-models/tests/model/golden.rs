//! Logits equal to those of transformers; `golden/bert_logits.py` made the expected values.

use std::path::{Path, PathBuf};

use grades_models::bert::{BertClassifier, LoadOptions};
use serde::Deserialize;
use tch::{Kind, Tensor};

use crate::tolerance::{MINILM, assert_within};

#[derive(Deserialize)]
struct Golden {
    ids: Vec<Vec<i64>>,
    mask: Vec<Vec<i64>>,
    logits: Vec<Vec<f32>>,
}

/// all-MiniLM-L6-v2, from `GRADES_MINILM` or from `models/` at the workspace root.
fn minilm() -> PathBuf {
    let dir = std::env::var_os("GRADES_MINILM").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/all-MiniLM-L6-v2"),
        PathBuf::from,
    );
    assert!(
        dir.join("config.json").exists(),
        "no all-MiniLM-L6-v2 in {}: run `make setup`, or set GRADES_MINILM to its directory",
        dir.display()
    );
    dir
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/bert_logits.json")).unwrap()
}

fn matrix<T: tch::kind::Element + Copy>(rows: &[Vec<T>]) -> Tensor {
    let width = i64::try_from(rows[0].len()).unwrap();
    Tensor::from_slice(&rows.concat()).view([-1, width])
}

#[test]
fn logits_match_transformers() {
    let golden = golden();
    let labels = Some(vec!["a".into(), "b".into(), "c".into()]);
    let options = LoadOptions { labels, ..LoadOptions::default() };
    let (model, report) = BertClassifier::load(&minilm(), options).unwrap();
    assert_eq!(report.fresh, ["classifier.bias", "classifier.weight"]);
    assert_eq!(report.ignored, ["embeddings.position_ids"]);

    let width = model.config().hidden_size;
    let weight: Vec<f64> = (0..3 * width).map(|i| 0.05 * ((i + 1) as f64).sin()).collect();
    let bias: Vec<f64> = (0..3).map(|j| 0.1 * f64::from(j).cos()).collect();
    let mut variables = model.var_store().variables();
    tch::no_grad(|| {
        variables.get_mut("classifier.weight").unwrap().copy_(&Tensor::from_slice(&weight).view([3, width]));
        variables.get_mut("classifier.bias").unwrap().copy_(&Tensor::from_slice(&bias));
    });
    let logits = tch::no_grad(|| model.forward(&matrix(&golden.ids), &matrix(&golden.mask), false)).unwrap();
    let expected = matrix(&golden.logits);
    assert_within(&logits, &expected, MINILM.tolerance(Kind::Float), "logits");
}
