//! Pages of comparisons.

use grades_finetune::records::{
    Comparison, ComparisonRow, EVALS, EvalRecord, Evaluation, Failure, Metric, Numbers, Quantity, RunResult,
    StopReason, Target, write_line,
};
use grades_finetune::report::{ComparisonData, Subject};
use serde_json::json;

use crate::report::made::{Made, assert_sound, figures};
use crate::support::Folder;
use crate::tolerance::{FORMULA, assert_number_within};

/// The result of a run.
#[derive(Clone, Copy)]
struct Outcome {
    steps: f64,
    seconds: f64,
    accuracy: f64,
}

fn run(seed: u64, Outcome { steps, seconds, accuracy }: Outcome) -> RunResult {
    let mut numbers = Numbers::default();
    for (quantity, value) in [
        (Quantity::Steps, steps),
        (Quantity::PlannedSteps, 100.0),
        (Quantity::TrainSeconds, seconds * 0.8),
        (Quantity::EvalSeconds, seconds * 0.1),
        (Quantity::WallSeconds, seconds),
        (Quantity::Flops, 1e12),
        (Quantity::CostSeconds, seconds * 0.95),
        (Quantity::PeakMemoryBytes, 1e9),
        (Quantity::EvalAccuracy, accuracy),
        (Quantity::EvalLoss, 1.0 - accuracy),
    ] {
        numbers.set(quantity, Some(value));
    }
    RunResult { seed: Some(seed), folder: "gone".to_owned(), ended: Some(StopReason::AllSteps), numbers }
}

fn comparison() -> Comparison {
    let row = |name: &str, label: &str, outcome: Outcome| {
        let of = |seed: u64| {
            let (seconds, accuracy) = (outcome.seconds + seed as f64, outcome.accuracy + seed as f64 / 200.0);
            run(seed, Outcome { seconds, accuracy, ..outcome })
        };
        let runs = (0..3).map(of).collect();
        ComparisonRow { name: name.to_owned(), label: label.to_owned(), runs, ..ComparisonRow::default() }
    };
    Comparison {
        baseline: "full".to_owned(),
        command: "finetune compare --config <x>.toml".to_owned(),
        target: Some(Target { metric: Metric::Accuracy, value: 0.88 }),
        failures: vec![Failure { row: "half".to_owned(), seed: 3, reason: "exit <1>".to_owned() }],
        rows: vec![
            row("full", "full", Outcome { steps: 100.0, seconds: 200.0, accuracy: 0.88 }),
            row("grades", "full + <GradES> & more", Outcome { steps: 50.0, seconds: 80.0, accuracy: 0.879 }),
            row("half", "half of the steps", Outcome { steps: 50.0, seconds: 100.0, accuracy: 0.80 }),
        ],
        ..Comparison::default()
    }
}

/// Writes a comparison and reads it.
fn written(comparison: &Comparison) -> ComparisonData {
    let folder = Folder::empty();
    folder.write(Comparison::FILE, serde_json::to_string(comparison).unwrap());
    ComparisonData::read(&folder.path("")).unwrap()
}

#[test]
fn a_comparison_has_its_pictures_its_table_and_a_verdict() {
    let folder = Folder::empty();
    let mut value = serde_json::to_value(comparison()).unwrap();
    // As another version has it.
    value["rows"][0]["runs"][0]["unheard_of"] = json!([1, 2]);
    folder.write(Comparison::FILE, value.to_string());
    let page = Subject::read(&[folder.path("")]).unwrap().page().unwrap();
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

/// The page of `full` and one other row, which took this many seconds and reached this accuracy with each seed.
fn page_of_two(seeds: u64, full: (f64, f64), other: (f64, f64)) -> String {
    let row = |name: &str, (seconds, accuracy): (f64, f64)| {
        let outcome = Outcome { steps: 100.0, seconds, accuracy };
        let runs = (0..seeds).map(|seed| run(seed, outcome)).collect();
        ComparisonRow { name: name.to_owned(), runs, ..ComparisonRow::default() }
    };
    let rows = vec![row("full", full), row("grades", other)];
    let comparison = Comparison { baseline: "full".to_owned(), rows, ..Comparison::default() };
    let page = Subject::Comparison(written(&comparison)).page().unwrap();
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

/// An evaluation with an accuracy, so many seconds after the start.
fn evaluation(step: u64, wall_seconds: f64, accuracy: f64) -> EvalRecord {
    let evaluation = Evaluation {
        loss: 0.5,
        accuracy: Some(accuracy),
        examples: 0,
        flops: 0,
        seconds: 0.0,
        ..Evaluation::default()
    };
    EvalRecord {
        step,
        is_final: false,
        best: None,
        train_seconds: f64::NAN,
        validation_seconds: 0.0,
        wall_seconds,
        flops: 0,
        validation_flops: 0,
        evaluation,
    }
}

fn lines(evals: &[EvalRecord]) -> Vec<u8> {
    let mut lines = Vec::new();
    for eval in evals {
        write_line(&mut lines, eval).unwrap();
    }
    lines
}

#[test]
fn a_curve_of_one_evaluation_is_a_dot() {
    let folder = Folder::empty();
    let paths = [("one", &[5][..]), ("two", &[5, 10])].map(|(name, steps)| {
        let path = Made { planned: name.len() as u64, ..Made::new(2, 20) }.write(&folder, name);
        let evals: Vec<EvalRecord> = steps.iter().map(|step| evaluation(*step, *step as f64, 0.7)).collect();
        std::fs::write(path.join(EVALS), lines(&evals)).unwrap();
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
    let mut comparison = comparison();
    comparison.rows[1].runs = Vec::new();
    comparison.rows[2].runs = vec![RunResult { seed: Some(0), ..RunResult::default() }];
    let page = Subject::Comparison(written(&comparison)).page().unwrap();
    assert_sound(&page);
    assert!(page.contains("No run yet: full + &lt;GradES&gt; &amp; more."));
    let folder = Folder::empty();
    folder.write(Comparison::FILE, r#"{"rows": [{"name": "a"}]}"#);
    let page = Subject::read(&[folder.path("")]).unwrap().page().unwrap();
    assert_sound(&page);
    assert_eq!(figures(&page), [""; 0]);
}

#[test]
fn what_is_no_comparison_is_refused() {
    let folder = Folder::empty();
    for (text, expected) in [
        ("{", "compare.json: expected what finetune compare writes"),
        ("{\"rows\":[]}", "compare.json: there are no rows"),
    ] {
        folder.write(Comparison::FILE, text);
        let error = format!("{:#}", ComparisonData::read(&folder.path("")).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn runs_that_differ_in_their_seed_alone_are_one_row() {
    let folder = Folder::empty();
    let mut paths: Vec<_> = (0..3)
        .map(|seed| Made { seed, ..Made::new(2, 20) }.write(&folder, &format!("grades-{seed}")))
        .collect();
    paths.push(Made { watched: false, ..Made::new(2, 20) }.write(&folder, "full"));
    let evals = [evaluation(5, 1.5, 0.7), evaluation(10, 3.0, 0.75), evaluation(20, 6.0, 0.8)];
    std::fs::write(paths[0].join(EVALS), lines(&evals)).unwrap();
    let Subject::Comparison(comparison) = Subject::read(&paths).unwrap() else { panic!("not a comparison") };
    let shape: Vec<(&str, usize)> =
        comparison.result.rows.iter().map(|row| (row.label(), row.runs.len())).collect();
    assert_eq!(shape, [("grades-0", 3), ("full", 1)]);
    let average = comparison.result.rows[0].average(|run| run.get(Quantity::EvalAccuracy)).unwrap();
    assert_number_within(average.mean, 0.81, FORMULA, "mean");
    assert_number_within(average.deviation.unwrap(), 0.01, FORMULA, "spread");
    let page = Subject::Comparison(comparison).page().unwrap();
    assert_sound(&page);
    assert_eq!(figures(&page), ["accuracy", "time", "savings", "curves"]);
}
