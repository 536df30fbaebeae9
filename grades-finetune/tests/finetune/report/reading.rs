//! Folders that are not runs, and damaged runs.

use std::path::Path;

use grades_finetune::report::{RunData, Subject};

use crate::report::made::Made;
use crate::support::Folder;

fn refused(path: &Path) -> String {
    format!("{:#}", Subject::read(&[path.to_path_buf()]).unwrap_err())
}

#[test]
fn what_is_no_run_is_refused_by_name() {
    let folder = Folder::empty();
    let error = refused(&folder.path("gone"));
    assert!(
        error.ends_with("gone does not exist; expected the folder of a run, as finetune train writes it"),
        "{error}"
    );
    let error = refused(&folder.path(""));
    assert!(
        error.contains("is no run: it has none of config.toml, steps.jsonl, freezes.jsonl, summary.json"),
        "{error}"
    );
    Made::new(1, 3).write(&folder, "b");
    Made::new(1, 3).write(&folder, "a");
    let error = refused(&folder.path(""));
    assert!(
        error.contains("there are runs in it: ") && error.contains("/a, ") && error.ends_with("/b"),
        "{error}"
    );
    std::fs::write(folder.path("text"), "hello").unwrap();
    let error = refused(&folder.path("text"));
    assert!(error.contains("text: expected what finetune compare writes"), "{error}");
}

#[test]
fn a_damaged_line_is_named_with_its_file() {
    struct Case {
        file: &'static str,
        line: &'static str,
        expected: &'static str,
    }
    for Case { file, line, expected } in [
        Case { file: "steps.jsonl", line: r#"{"step":"x"}"#, expected: "steps.jsonl:2: " },
        Case { file: "freezes.jsonl", line: "{}", expected: "freezes.jsonl:2: missing field" },
        Case {
            file: "statistics.jsonl",
            line: r#"{"step":1}"#,
            expected: "statistics.jsonl:2: missing field `policy`",
        },
        Case {
            file: "statistics.jsonl",
            line: r#"{"step":1,"policy":"p","statistic":"s","threshold":1,"values":[1]}"#,
            expected: "statistics.jsonl:2: unknown measure \"s\"",
        },
        Case {
            file: "statistics.jsonl",
            line: r#"{"step":1,"policy":"p","statistic":"grad-l1","threshold":1,"values":[1]}"#,
            expected: "statistics.jsonl:2: 1 values for 7 components",
        },
    ] {
        let folder = Folder::empty();
        let path = Made::new(1, 20).write(&folder, "run");
        let text = std::fs::read_to_string(path.join(file)).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        std::fs::write(path.join(file), format!("{first}\n{line}\n{rest}")).unwrap();
        let error = refused(&path);
        assert!(error.contains(expected), "{file}: {error}");
    }
    let folder = Folder::empty();
    let path = Made::new(1, 20).write(&folder, "run");
    std::fs::write(path.join("summary.json"), "[1").unwrap();
    let error = refused(&path);
    assert!(error.contains("summary.json: expected a JSON object"), "{error}");
}

#[test]
fn a_run_that_was_killed_is_read_up_to_its_last_whole_line() {
    let folder = Folder::empty();
    let path = Made { ended: None, ..Made::new(1, 20) }.write(&folder, "run");
    for file in ["steps.jsonl", "statistics.jsonl"] {
        let text = std::fs::read_to_string(path.join(file)).unwrap();
        std::fs::write(path.join(file), &text[..text.len() - 9]).unwrap();
    }
    let run = RunData::read(&path).unwrap();
    assert_eq!((run.last_step(), run.panels[0].steps.len()), (19, 19));
    for file in ["steps.jsonl", "statistics.jsonl", "freezes.jsonl"] {
        std::fs::remove_file(path.join(file)).unwrap();
    }
    let run = RunData::read(&path).unwrap();
    assert_eq!((run.steps.len(), run.components.len()), (0, 0));
    Subject::Run(Box::new(run)).page().unwrap();
}

#[test]
fn steps_that_a_resumed_run_measured_again_replace_the_old_ones() {
    let folder = Folder::empty();
    let path = Made { freezes: false, ..Made::new(1, 5) }.write(&folder, "run");
    let file = path.join("statistics.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    let again = |step: u64, value: f64| {
        format!(
            "{{\"step\":{step},\"policy\":\"signal-fraction\",\"statistic\":\"signal-fraction\",\"threshold\":0.005,\
             \"values\":[{value},null,null,null,null,null,null]}}\n"
        )
    };
    std::fs::write(&file, text + &again(3, 9.0) + &again(4, 8.0)).unwrap();
    let run = RunData::read(&path).unwrap();
    let panel = &run.panels[0];
    assert_eq!(panel.steps, [1, 2, 3, 4]);
    assert_eq!(panel.series[0].values[2..], [9.0, 8.0]);
    assert!(
        panel.series[1].values.len() == 4 && panel.series[1].values[2..].iter().all(|value| value.is_nan())
    );
}

#[test]
fn an_older_run_without_statistics_is_read() {
    let folder = Folder::empty();
    let path = Made::new(2, 40).write(&folder, "run");
    std::fs::remove_file(path.join("statistics.jsonl")).unwrap();
    let run = RunData::read(&path).unwrap();
    assert_eq!(run.components.len(), 7, "those that something happened to");
    assert_eq!(run.components_total(), 14);
}
