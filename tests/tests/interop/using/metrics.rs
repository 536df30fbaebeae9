//! Metrics beside scikit-learn and scipy.

use grades_finetune::metrics::{ConfusionMatrix, mean_squared_error, pearson, spearman};
use grades_tests::tolerance::{FORMULA, assert_number_within};
use serde_json::{Value, json};

use crate::python::{run_script, skipped};

/// Numbers that look random, the same each time.
fn noise(seed: usize, count: usize) -> Vec<usize> {
    let mut state = seed as u64 + 1;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap()
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn close(ours: f64, theirs: &Value, what: &str) {
    assert_number_within(ours, theirs.as_f64().unwrap_or_else(|| panic!("{what}: {theirs}")), FORMULA, what);
}

#[test]
fn metrics_are_those_of_scikit_learn_and_scipy() {
    if skipped() {
        return;
    }
    const COUNT: usize = 5;
    let mut labels: Vec<Vec<usize>> = Vec::new();
    let mut predicted: Vec<Vec<usize>> = Vec::new();
    for case in 0..30 {
        let size = 1 + case * 7;
        // In some cases labels are missing among the examples, the predictions, or both.
        let (known, guessed) = (1 + case % COUNT, 1 + case % (COUNT - 1));
        labels.push(noise(case, size).into_iter().map(|value| value % known).collect());
        predicted.push(noise(case + 100, size).into_iter().map(|value| value % guessed).collect());
    }
    let mut numbers: Vec<Vec<f64>> = Vec::new();
    let mut guesses: Vec<Vec<f64>> = Vec::new();
    for case in 0..20 {
        // Few values give ties.
        let range = if case % 2 == 0 { 4 } else { 1_000_003 };
        let list =
            |seed| noise(seed, 5 + case * 3).into_iter().map(|value| (value % range) as f64 / 7.0).collect();
        numbers.push(list(case));
        guesses.push(list(case + 50));
    }
    let question = json!({"labels": labels, "predicted": predicted, "numbers": numbers, "guesses": guesses, "count": COUNT});
    let answer = run_script("tests/python/metrics.py", &["sklearn", "scipy"], &question);

    for ((labels, predicted), theirs) in
        labels.iter().zip(&predicted).zip(answer["classes"].as_array().unwrap())
    {
        let mut matrix = ConfusionMatrix::new(COUNT);
        labels.iter().zip(predicted).for_each(|(label, predicted)| matrix.add(*label, *predicted));
        for (name, value) in [
            ("accuracy", matrix.accuracy()),
            ("balanced_accuracy", matrix.balanced_accuracy()),
            ("macro_f1", matrix.macro_f1()),
            ("micro_f1", matrix.micro_f1()),
            ("mcc", matrix.mcc()),
        ] {
            close(value.unwrap(), &theirs[name], name);
        }
        for label in 0..COUNT {
            close(matrix.precision(label), &theirs["precision"][label], "precision");
            close(matrix.recall(label), &theirs["recall"][label], "recall");
            close(matrix.f1(label), &theirs["f1"][label], "f1");
            assert_eq!(matrix.support(label), theirs["support"][label].as_u64().unwrap());
        }
        let names: Vec<String> = (0..COUNT).map(|label| label.to_string()).collect();
        let confusion = matrix.class_results(&names).confusion;
        assert_eq!(serde_json::to_value(confusion).unwrap(), theirs["confusion"]);
    }
    for ((numbers, guesses), theirs) in
        numbers.iter().zip(&guesses).zip(answer["regression"].as_array().unwrap())
    {
        close(pearson(numbers, guesses).unwrap(), &theirs["pearson"], "pearson");
        close(spearman(numbers, guesses).unwrap(), &theirs["spearman"], "spearman");
        close(mean_squared_error(numbers, guesses).unwrap(), &theirs["mse"], "mse");
    }
}
