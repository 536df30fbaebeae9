//! Pages of comparisons.

use serde_json::{Value, json};
use tempfile::TempDir;

use grades_finetune::records::Quantity;
use grades_finetune::report::{ComparisonData, Subject};

use crate::support::{Made, assert_sound, figures};

fn run(seed: u64, steps: f64, seconds: f64, accuracy: f64) -> Value {
    json!({
        "seed": seed, "folder": "gone", "ended": "all-steps", "steps": steps, "planned_steps": 100,
        "train_seconds": seconds * 0.8, "eval_seconds": seconds * 0.1, "wall_seconds": seconds, "flops": 1e12,
        "cost_seconds": seconds * 0.95, "peak_memory_bytes": 1e9, "eval_accuracy": accuracy, "eval_loss": 1.0 - accuracy,
        "unheard_of": [1, 2],
    })
}

fn comparison() -> Value {
    let row = |name: &str, label: &str, steps: f64, seconds: f64, accuracy: f64| {
        let runs: Vec<Value> = (0..3)
            .map(|seed| run(seed, steps, seconds + seed as f64, accuracy + seed as f64 / 200.0))
            .collect();
        json!({"name": name, "label": label, "runs": runs, "mean": {}, "spread": {}})
    };
    json!({
        "baseline": "full", "command": "finetune compare --config <x>.toml", "target": {"metric": "accuracy", "value": 0.88},
        "failures": [{"row": "half", "seed": 3, "reason": "exit <1>"}],
        "rows": [
            row("full", "full", 100.0, 200.0, 0.88),
            row("grades", "full + <GradES> & more", 50.0, 80.0, 0.879),
            row("half", "half of the steps", 50.0, 100.0, 0.80),
        ],
    })
}

fn written(value: &Value) -> (TempDir, ComparisonData) {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("compare.json"), value.to_string()).unwrap();
    let comparison = ComparisonData::read(dir.path()).unwrap();
    (dir, comparison)
}

#[test]
fn a_comparison_has_its_pictures_its_table_and_a_verdict() {
    let (dir, _) = written(&comparison());
    let page = Subject::read(&[dir.path().to_path_buf()]).unwrap().page().unwrap();
    assert_sound(&page);
    assert_eq!(figures(&page), ["accuracy", "time", "savings"]);
    assert!(
        page.contains("full + &lt;GradES&gt; &amp; more, with 88.4\u{a0}% in 40.3\u{a0}% of the time."),
        "{page}"
    );
    assert!(page.contains("finetune compare --config &lt;x&gt;.toml"));
    assert!(page.contains("88.5\u{a0}% ± 0.5\u{a0}%"), "mean and spread are in the table");
    assert!(page.contains("Missing: half with seed 3: exit &lt;1&gt;."));
    assert!(page.contains("target 88\u{a0}%"));
}

#[test]
fn rows_without_runs_and_without_numbers_are_drawn_as_far_as_they_go() {
    let mut value = comparison();
    value["rows"][1]["runs"] = json!([]);
    value["rows"][2]["runs"] = json!([{"seed": 0}]);
    let (_dir, comparison) = written(&value);
    let page = Subject::Comparison(comparison).page().unwrap();
    assert_sound(&page);
    assert!(page.contains("No run yet: full + &lt;GradES&gt; &amp; more."));
    let (_dir, empty) = written(&json!({"rows": [{"name": "a"}]}));
    let page = Subject::Comparison(empty).page().unwrap();
    assert_sound(&page);
    assert_eq!(figures(&page), [""; 0]);
}

#[test]
fn what_is_no_comparison_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("compare.json");
    for (text, expected) in [
        ("{", "compare.json: expected what finetune compare writes"),
        ("{\"rows\":[]}", "compare.json: there are no rows"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = format!("{:#}", ComparisonData::read(dir.path()).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn runs_that_differ_in_their_seed_alone_are_one_row() {
    let dir = TempDir::new().unwrap();
    let mut paths: Vec<_> = (0..3)
        .map(|seed| Made { seed, ..Made::new(2, 20) }.write(dir.path(), &format!("grades-{seed}")))
        .collect();
    paths.push(Made { watched: false, ..Made::new(2, 20) }.write(dir.path(), "full"));
    let evals = [(5, 1.5, 0.7), (10, 3.0, 0.75), (20, 6.0, 0.8)];
    let lines: String = evals
        .iter()
        .map(|(step, seconds, accuracy)| {
            json!({"step": step, "wall_seconds": seconds, "loss": 0.5, "accuracy": accuracy}).to_string()
                + "\n"
        })
        .collect();
    std::fs::write(paths[0].join("evals.jsonl"), lines).unwrap();
    let Subject::Comparison(comparison) = Subject::read(&paths).unwrap() else { panic!("not a comparison") };
    let shape: Vec<(&str, usize)> =
        comparison.result.rows.iter().map(|row| (row.label(), row.runs.len())).collect();
    assert_eq!(shape, [("grades-0", 3), ("full", 1)]);
    let average = comparison.result.rows[0].average(|run| run.get(Quantity::EvalAccuracy)).unwrap();
    let (mean, spread) = (average.mean, average.deviation.unwrap());
    assert!((mean - 0.81).abs() < 1e-12 && (spread - 0.01).abs() < 1e-12, "{mean} {spread}");
    let page = Subject::Comparison(comparison).page().unwrap();
    assert_sound(&page);
    assert_eq!(figures(&page), ["accuracy", "time", "savings", "curves"]);
}
