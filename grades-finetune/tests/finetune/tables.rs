//! The Markdown of a comparison.

use std::collections::BTreeMap;

use grades_finetune::compare::markdown;
use grades_finetune::records::{
    Comparison, ComparisonRow, Failure, Metric, Numbers, Overhead, Paired, Quantity, RunResult, Savings,
    StopReason, Target,
};

fn numbers(list: &[(Quantity, f64)]) -> Numbers {
    let mut numbers = Numbers::default();
    for (quantity, value) in list {
        numbers.set(*quantity, Some(*value));
    }
    numbers
}

fn run(seed: u64, list: &[(Quantity, f64)]) -> RunResult {
    RunResult {
        seed: Some(seed),
        folder: format!("runs/full-seed{seed}"),
        ended: Some(StopReason::AllSteps),
        numbers: numbers(list),
    }
}

fn row(name: &str, label: &str, runs: Vec<RunResult>) -> ComparisonRow {
    ComparisonRow {
        name: name.into(),
        label: label.into(),
        runs,
        mean: Numbers::default(),
        spread: Numbers::default(),
        reached_target: 0,
        paired: BTreeMap::new(),
        paired_with_lora: BTreeMap::new(),
        savings: Savings {
            seconds_per_step: None,
            steps: None,
            train_seconds: None,
            train_cpu_seconds: None,
            cost_seconds: None,
            cost_flops: None,
        },
        monitoring: None,
    }
}

#[test]
fn a_table_has_a_line_for_each_row_and_what_it_means_below() {
    let runs = || vec![run(0, &[(Quantity::EvalAccuracy, 0.88)]), run(1, &[(Quantity::EvalAccuracy, 0.89)])];
    let mut full = row("full", "full", runs());
    full.mean = numbers(&[
        (Quantity::Steps, 651.0),
        (Quantity::CostSeconds, 212.4),
        (Quantity::CostFlops, 2.5e15),
        (Quantity::PeakMemoryBytes, 2e9),
        (Quantity::EvalAccuracy, 0.885),
        (Quantity::SecondsToTarget, 99.5),
    ]);
    full.spread = numbers(&[
        (Quantity::Steps, 0.0),
        (Quantity::CostSeconds, 3.6),
        (Quantity::CostFlops, 0.0),
        (Quantity::PeakMemoryBytes, 1e7),
        (Quantity::EvalAccuracy, 0.0071),
        (Quantity::SecondsToTarget, 2.0),
    ]);
    full.savings = Savings {
        seconds_per_step: Some(1.0),
        steps: Some(1.0),
        train_seconds: Some(1.0),
        train_cpu_seconds: Some(1.0),
        cost_seconds: Some(1.0),
        cost_flops: Some(1.0),
    };
    full.reached_target = 2;
    let mut grades = row("full-grades", "full + GradES", runs());
    grades.mean =
        numbers(&[(Quantity::Steps, 300.0), (Quantity::CostSeconds, 88.0), (Quantity::CostFlops, 1.2e15)]);
    grades.spread =
        numbers(&[(Quantity::Steps, 10.0), (Quantity::CostSeconds, 4.0), (Quantity::CostFlops, 1e14)]);
    grades.savings = Savings {
        seconds_per_step: Some(0.873),
        steps: Some(0.461),
        train_seconds: Some(0.4),
        train_cpu_seconds: None,
        cost_seconds: Some(0.414),
        cost_flops: Some(0.48),
    };
    grades.reached_target = 1;
    grades
        .paired
        .insert(Quantity::EvalAccuracy, Paired { mean: -0.0041, standard_error: Some(0.0012), n: 2 });
    grades.paired.insert(Quantity::CostSeconds, Paired { mean: -124.4, standard_error: None, n: 1 });
    grades.monitoring =
        Some(Overhead { percent: 0.52, quartiles: [-1.0, 2.25], pairs: 60, seconds_per_step: 0.3 });
    let comparison = Comparison {
        baseline: "full".into(),
        command: "finetune compare --config sst2.toml".into(),
        version: "0".into(),
        threads: 1,
        seeds: vec![0, 1],
        target: Some(Target { metric: Metric::Accuracy, value: 0.885 }),
        rows: vec![full, grades, row("odd", "a | b", Vec::new())],
        failures: vec![Failure { row: "odd".into(), seed: 1, reason: "exit status: 1".into() }],
    };
    let expected = "\
| run | steps | time, s | ÷ full | CPU ÷ full | a step ÷ full | steps ÷ full | PFLOPs | ÷ full | peak memory, MiB | dev accuracy | s to `full`'s result |
|---|---|---|---|---|---|---|---|---|---|---|---|
| full | 651 ± 0 | 212 ± 4 | 1.00 | 1.00 | 1.00 | 1.00 | 2.5 ± 0.0 | 1.00 | 1907 ± 10 | 0.8850 ± 0.0071 | 99.5 ± 2.0 |
| full + GradES | 300 ± 10 | 88 ± 4 | 0.41 | – | 0.87 | 0.46 | 1.2 ± 0.1 | 0.48 | – | – | reached by 1 of 2 |
| a \\| b (0 of 2 runs) | – | – | – | – | – | – | – | – | – | – | – |
";
    let text = markdown(&comparison);
    let (table, rest) = text.split_once("\n\n").unwrap();
    assert_eq!(format!("{table}\n"), expected);
    for part in [
        "over seeds 0, 1.",
        "that `full` ends with in the mean (0.8850).",
        "Watching gradients lengthens a step of `full-grades` by 0.5 % (median of 60 paired steps; quartiles -1.0 and 2.2 %).",
        "Missing: `odd` with seed 1: exit status: 1.",
        "| run | dev accuracy | time, s |\n|---|---|---|\n| full | – | – |\n| full + GradES | -0.0041 ± 0.0012 | -124.4 |\n",
    ] {
        assert!(rest.contains(part), "{part}: {rest}");
    }
    assert!(text.ends_with("\nMade by `finetune compare --config sst2.toml`.\n"));
    // Every line of a table has as many cells as its heading.
    for table in text.split("\n\n").filter(|part| part.starts_with("| run")) {
        let cells: Vec<usize> =
            table.lines().map(|line| line.replace("\\|", "").matches('|').count()).collect();
        assert!(cells.iter().all(|count| *count == cells[0]), "{cells:?}");
    }
}
