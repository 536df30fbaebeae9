//! `finetune runs` and `export`, completions and manual pages.

use grades_finetune::storage::Lock;
use serde_json::Value;

use crate::support::{FREEZE_ALL, Folder, copy_folder};

#[test]
fn runs_are_listed_with_their_states() {
    let folder = Folder::new();
    folder.run(&[FREEZE_ALL]);
    folder.run_until(3, &["output.name=\"base-10\""]);
    for name in ["base-9", "gone", "cut", "running"] {
        copy_folder(&folder.path("runs/base-10"), &folder.path(&format!("runs/{name}")));
        std::fs::remove_file(folder.path(&format!("runs/{name}/summary.json"))).unwrap();
    }
    std::fs::remove_dir_all(folder.path("runs/gone/checkpoints")).unwrap();
    let steps = folder.text("runs/cut/steps.jsonl");
    let bad = steps.lines().last().unwrap().replacen("\"step\":3", "\"step\":4", 1);
    folder.write(
        "runs/cut/steps.jsonl",
        format!("{steps}{},\"skipped\":\"loss\"}}\n", bad.trim_end_matches('}')),
    );
    copy_folder(&folder.path("runs/base"), &folder.path("runs/x\u{1b}\nbroken"));
    folder.write("runs/x\u{1b}\nbroken/summary.json", "{");
    std::fs::create_dir(folder.path("runs/no-run")).unwrap();
    let lock = Lock::acquire(&folder.path("runs/running")).unwrap();

    let ran = folder.finetune(&["runs"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    let lines: Vec<Vec<&str>> = ran
        .stdout
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert_eq!(lines[0], ["name", "state", "steps", "score", "frozen", "time"]);
    let names: Vec<&str> = lines[1..].iter().map(|line| line[0]).collect();
    assert_eq!(names, ["base", "base-9", "base-10", "cut", "gone", "running", "x\\u{1b}\\nbroken"]);
    assert_eq!(lines[1][1..3], ["finished", "2 of 6"]);
    assert_eq!((lines[1][4], lines[1][6]), ("12 of 12", "all frozen"));
    assert!(lines[1][3].starts_with("accuracy "), "{lines:?}");
    assert_eq!(
        (lines[2][1], lines[2][2], *lines[2].last().unwrap()),
        ("interrupted", "3", "resumes from step 3")
    );
    assert_eq!((lines[3][1], lines[3][2], lines[3][4]), ("interrupted", "3 of 6", "0 of 12"));
    assert_eq!((lines[4][1], *lines[4].last().unwrap()), ("failed", "loss or gradients were not finite"));
    assert_eq!((lines[5][1], *lines[5].last().unwrap()), ("failed", "broken off without a checkpoint"));
    assert_eq!(lines[6][1], "running");
    assert_eq!(lines[7][1], "damaged");
    assert!(lines[7].last().unwrap().contains("summary.json: expected a JSON object"), "{lines:?}");
    drop(lock);

    let ran = folder.finetune(&["runs", "runs", "--json"]);
    let runs: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(runs.len(), 7);
    assert_eq!(
        (&runs[0]["state"], &runs[0]["ended"]),
        (&Value::from("finished"), &Value::from("all-frozen"))
    );
    assert_eq!((&runs[5]["state"], &runs[5]["checkpoint"]), (&Value::from("interrupted"), &Value::from(3)));
    assert_eq!(runs[6]["name"], "x\u{1b}\nbroken");
    assert!(folder.finetune(&["runs", "runs/base"]).stdout.lines().count() == 2, "a run alone");
    let error = folder.finetune(&["runs", "model"]).error();
    assert_eq!(error, "model has no run; expected the folder of runs, which output.folder names");
    assert!(folder.finetune(&["runs", "nowhere"]).error().starts_with("cannot read nowhere: No such file"));
}

#[test]
fn logs_are_written_as_csv() {
    let folder = Folder::new();
    folder.run(&[FREEZE_ALL, "training.eval_every=1"]);
    let files = folder.files("base");
    let ran = folder.finetune(&["export", "steps", "runs/base"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let mut reader = csv::Reader::from_reader(ran.stdout.as_bytes());
    let head = reader.headers().unwrap().clone();
    assert_eq!(head.iter().take(4).collect::<Vec<_>>(), ["step", "epoch", "loss", "learning_rate"]);
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let steps = files.steps();
    assert_eq!(rows.len(), steps.len());
    for (row, step) in rows.iter().zip(&steps) {
        assert_eq!((row[0].parse(), row[2].parse()), (Ok(step.step), Ok(step.loss)));
    }
    assert!(ran.stdout.ends_with("\r\n"));

    let ran = folder.finetune(&["export", "evaluations", "runs/base", "--out", "evals.csv"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", "wrote evals.csv\n"));
    let written = folder.bytes("evals.csv");
    let mut reader = csv::Reader::from_reader(&written[..]);
    let at = reader.headers().unwrap().iter().position(|name| name == "accuracy").unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let accuracies: Vec<f64> = rows.iter().map(|row| row[at].parse().unwrap()).collect();
    let expected: Vec<f64> = files.evals().iter().filter_map(|record| record.evaluation.accuracy).collect();
    assert_eq!(accuracies, expected);
    let again = folder.finetune(&["export", "evaluations", "runs/base", "--out", "evals.csv"]);
    assert_eq!(again.error(), "cannot write evals.csv: File exists (os error 17)");
    assert_eq!(folder.bytes("evals.csv"), written);

    let ran = folder.finetune(&["export", "freezes", "runs/base"]);
    assert_eq!(ran.stdout.lines().count(), 13);
    let error = folder.finetune(&["export", "steps", "model"]).error();
    assert!(error.starts_with("model has no steps.jsonl; expected the folder of a run"), "{error}");
}

#[test]
fn completions_and_manual_pages_know_the_commands() {
    let folder = Folder::empty();
    for shell in ["bash", "zsh", "fish"] {
        let ran = folder.finetune(&["completions", shell]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        for word in ["inspect", "completions", "merge-frozen"] {
            assert!(ran.stdout.contains(word), "{shell} lacks {word}");
        }
    }
    let ran = folder.finetune(&["man"]);
    assert!(ran.stdout.contains(".TH finetune 1"), "{}", ran.stdout);
    assert!(ran.stdout.contains("finetune\\-train(1)"), "{}", ran.stdout);
    let ran = folder.finetune(&["man", "train"]);
    assert!(ran.stdout.contains(".TH finetune-train 1"), "{}", ran.stdout);
    assert!(ran.stdout.contains("\\-\\-early\\-stopping"), "{}", ran.stdout);
    let error = folder.finetune(&["man", "tarin"]).error();
    assert!(error.starts_with("there is no command tarin; there are train, compare, "), "{error}");
    std::fs::create_dir(folder.path("pages")).unwrap();
    let ran = folder.finetune(&["man", "--out", "pages"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let pages = folder.names("pages");
    assert!(
        pages.contains(&"finetune.1".to_owned()) && pages.contains(&"finetune-runs.1".to_owned()),
        "{pages:?}"
    );
    assert!(!pages.iter().any(|page| page.contains("help")), "{pages:?}");
}
