//! Sampling beside the processors of transformers.

use grades_models::decoder::Sampling;
use serde_json::{Value, json};

use crate::python::{run_script, skipped};

#[test]
fn probabilities_are_those_of_transformers() {
    if skipped() {
        return;
    }
    let mut cases: Vec<Value> = Vec::new();
    for (at, (temperature, top_k, top_p, penalty)) in [
        (1.0, 0, 1.0, 1.0),
        (0.7, 0, 1.0, 1.0),
        (2.5, 5, 1.0, 1.0),
        (1.0, 0, 0.9, 1.0),
        (0.3, 0, 0.5, 1.0),
        (1.3, 8, 0.8, 1.0),
        (1.0, 0, 1.0, 1.3),
        (0.9, 10, 0.95, 0.8),
        (1.0, 1, 0.01, 1.1),
        (5.0, 100, 0.99, 2.0),
    ]
    .into_iter()
    .enumerate()
    {
        for size in [3usize, 17, 60] {
            let logits: Vec<f64> =
                (0..size).map(|i| f64::from((((at + 1) * (i + 3)) as f32 * 12.9898).sin() * 6.0)).collect();
            let before: Vec<usize> = (0..7).map(|i| (i * i + at) % size).collect();
            cases.push(json!({
                "logits": logits, "before": before, "temperature": temperature, "top_k": top_k, "top_p": top_p,
                "repetition_penalty": penalty
            }));
        }
    }
    let answer = run_script("tests/python/sampling.py", &["torch", "transformers"], &json!({"cases": cases}));
    let theirs: Vec<Vec<f64>> = serde_json::from_value(answer["probabilities"].clone()).unwrap();
    for (case, theirs) in cases.iter().zip(theirs) {
        let number = |key: &str| case[key].as_f64().unwrap();
        let sampling = Sampling {
            temperature: number("temperature"),
            top_k: number("top_k") as usize,
            top_p: number("top_p"),
            repetition_penalty: number("repetition_penalty"),
            ..Sampling::default()
        };
        let logits: Vec<f32> = serde_json::from_value(case["logits"].clone()).unwrap();
        let before: Vec<i64> = serde_json::from_value(case["before"].clone()).unwrap();
        for (id, (ours, theirs)) in
            sampling.probabilities(&logits, &before).into_iter().zip(theirs).enumerate()
        {
            assert_eq!(ours > 0.0, theirs > 0.0, "token {id} of {case}");
            // They compute in f32.
            assert!((ours - theirs).abs() < 2e-6, "token {id} of {case}: {ours} {theirs}");
        }
    }
}
