//! Pages of comparisons.

use serde_json::{Value, json};
use tempfile::TempDir;

use grades_finetune::records::Quantity;
use grades_finetune::report::{ComparisonData, Subject};

use crate::report::made::{Made, assert_sound, figures};

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

/// The page of `full` and one other row, with so many seeds; each row has its seconds and its accuracy.
fn page_of_two(seeds: u64, full: (f64, f64), other: (f64, f64)) -> String {
    let row = |name: &str, (seconds, accuracy): (f64, f64)| {
        let runs: Vec<Value> = (0..seeds).map(|seed| run(seed, 100.0, seconds, accuracy)).collect();
        json!({"name": name, "runs": runs})
    };
    let value = json!({"baseline": "full", "rows": [row("full", full), row("grades", other)]});
    let (_dir, comparison) = written(&value);
    let page = Subject::Comparison(comparison).page().unwrap();
    assert_sound(&page);
    page
}

#[test]
fn only_what_is_faster_than_the_baseline_is_called_fastest() {
    let page = page_of_two(3, (100.0, 0.9), (164.0, 0.9));
    assert!(!page.contains("fastest"), "it took longer than the baseline");
    assert!(page.contains("No other way is both as good as full and faster; full reached 90\u{a0}%."));
    let page = page_of_two(3, (100.0, 0.9), (40.0, 0.8));
    assert!(!page.contains("fastest"), "it is worse than the baseline");
    let page = page_of_two(3, (100.0, 0.9), (40.0, 0.9));
    assert!(page.contains("and fastest: grades, with 90\u{a0}% in 40\u{a0}% of the time."));
}

#[test]
fn one_seed_claims_nothing_about_the_spread() {
    let page = page_of_two(1, (100.0, 0.9), (40.0, 0.95));
    assert!(page.contains("2 ways to train, 1 seed each. As good as full (90\u{a0}%) and fastest: grades"));
    assert!(page.contains("One seed, so no spread: differences may be chance."));
    for claim in ["standard error", "standard deviation", "±", "up to", "1 seeds"] {
        assert!(!page.contains(claim), "{claim}");
    }
    let page = page_of_two(3, (100.0, 0.9), (40.0, 0.95));
    assert!(page.contains("2 ways to train, 3 seeds each.") && page.contains("standard deviation"));
    assert!(!page.contains("so no spread"));
}

#[test]
fn an_axis_of_accuracies_ends_at_100_percent() {
    let page = page_of_two(2, (100.0, 1.0), (40.0, 1.0));
    let picture = page.split("<svg ").find(|part| part.contains("accuracy-wide-t")).unwrap();
    let labels: Vec<f64> = picture
        .split("\u{a0}%</text>")
        .filter_map(|part| part.rsplit('>').next()?.parse().ok())
        .filter(|label: &f64| label.is_finite())
        .collect();
    assert!(
        labels.contains(&100.0) && labels.iter().all(|label| (0.0..=100.0).contains(label)),
        "{labels:?}"
    );
}

#[test]
fn a_curve_of_one_evaluation_is_a_dot() {
    let dir = TempDir::new().unwrap();
    let line = |step: u64| {
        json!({"step": step, "wall_seconds": step, "loss": 0.5, "accuracy": 0.7}).to_string() + "\n"
    };
    let paths = [("one", line(5)), ("two", line(5) + &line(10))].map(|(name, evals)| {
        let path = Made { planned: name.len() as u64, ..Made::new(2, 20) }.write(dir.path(), name);
        std::fs::write(path.join("evals.jsonl"), evals).unwrap();
        path
    });
    let page = Subject::read(&paths).unwrap().page().unwrap();
    assert_sound(&page);
    let picture = page.split("<svg ").find(|part| part.contains("curves-wide-t")).unwrap();
    assert_eq!(picture.matches("<circle class=\"dot f0 one\"").count(), 1);
    assert_eq!(picture.matches("<path class=\"s k").count(), 1);
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
