//! `finetune train --dry-run`.

use std::path::Path;

use crate::support::{FREEZE_ALL, Folder, Ran};
use crate::tiny_decoder::TinyDecoder;

/// Lists all files below a folder with their sizes and times.
fn listing(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        found.push(format!("{} {} {:?}", path.display(), metadata.len(), metadata.modified().unwrap()));
        if metadata.is_dir() {
            found.extend(listing(&path));
        }
    }
    found.sort();
    found
}

/// Runs dry, which must leave no trace; returns the lines that it wrote.
fn dry(folder: &Folder, arguments: &[&str]) -> Vec<String> {
    let before = listing(&folder.path("."));
    let ran = folder.trained(&[&["--dry-run"], arguments].concat());
    assert_eq!(listing(&folder.path(".")), before, "{arguments:?} left a trace");
    assert_eq!(ran.stderr, "");
    let lines: Vec<String> = ran.stdout.lines().map(str::to_owned).collect();
    for part in ["data ", "tokens ", "components ", "steps ", "FLOPs ", "memory ", "disk ", "time "] {
        assert!(lines.iter().any(|line| line.starts_with(part)), "{part} is missing: {}", ran.stdout);
    }
    lines
}

/// The part of the text that begins with a word, as one line.
fn part(lines: &[String], name: &str) -> String {
    let from = lines.iter().position(|line| line.starts_with(name)).unwrap();
    let after = lines[from + 1..].iter().take_while(|line| line.starts_with(' '));
    let all = std::iter::once(&lines[from]).chain(after);
    all.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_plan_of_a_run_leaves_no_trace() {
    let folder = Folder::new();
    let lines = dry(&folder, &["--max-tokens", "8"]);
    let of = |name: &str| part(&lines, name);
    assert!(
        of("data").starts_with("data 24 examples, 2 labels\ntrain.tsv: text is column 0"),
        "{}",
        of("data")
    );
    assert!(of("data").contains("24 examples: no 12, yes 12; "), "{}", of("data"));
    assert!(of("tokens").starts_with("tokens 24 rows, "), "{}", of("tokens"));
    assert!(of("tokens").contains("4 are cut at 8 tokens\n4 ██"), "{}", of("tokens"));
    assert!(of("components").contains("\n2 × query "), "{}", of("components"));
    assert!(of("components").starts_with("components 12 with "), "{}", of("components"));
    assert!(of("steps").starts_with("steps 6, 3 an epoch, 8 rows each"), "{}", of("steps"));
    for kind in ["weights", "gradients", "moments", "activations of the longest batch"] {
        assert!(of("memory").contains(kind), "{}", of("memory"));
    }
    assert!(of("memory").contains("together on cpu"), "{}", of("memory"));
    assert!(of("disk").contains(" a checkpoint, × 1\n"), "{}", of("disk"));
    assert!(of("time").contains("of training: 6 steps of ") && of("time").contains("1 evaluation of "));

    // The plan is right: the run has as many steps, and does as many operations.
    folder.run(&["data.max_tokens=8"]);
    let summary = folder.files("base").summary();
    assert_eq!(summary.steps.steps, 6);
    let planned: f64 = of("FLOPs").split(' ').nth(1).unwrap().parse().unwrap();
    let done = summary.flops.flops as f64 / 1e6;
    assert!((planned / done - 1.0).abs() < 0.1, "{planned} MFLOP planned, {done} done");
}

#[test]
fn every_task_has_a_plan() {
    let folder = Folder::new();
    let lines = dry(&folder, &["--lora", "--no-freezing"]);
    assert!(part(&lines, "data").contains("adapters in "), "{lines:?}");
    assert!(part(&lines, "components").contains("no [freezing] table"), "{lines:?}");
    let lines =
        dry(&folder, &["--set", "freezing.cache.mode=\"auto\"", "--eval-every", "1", "--early-stopping"]);
    assert!(part(&lines, "memory").contains("cache of frozen blocks, at most"), "{lines:?}");
    assert!(part(&lines, "time").contains("6 evaluations of "), "{lines:?}");
    let folder = Folder::decoder(&TinyDecoder::new(serde_json::json!({})));
    let lines = dry(&folder, &["--lora", "--freezing"]);
    assert!(part(&lines, "time").contains("no data.eval"), "{lines:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn several_processes_are_planned_in_one() {
    let lines = dry(&Folder::new(), &["--nproc", "3"]);
    let steps = part(&lines, "steps");
    assert!(steps.starts_with("steps 2, 1 an epoch, 3 batches of 8 rows each\nin 3 processes"), "{steps}");
}

#[test]
fn what_is_left_of_a_run_is_planned() {
    let folder = Folder::new();
    folder.run_until(4, &[]);
    let lines = dry(&folder, &["--resume", "--name", "base"]);
    assert!(part(&lines, "steps").starts_with("steps 2 are left of 6, 3 an epoch"), "{lines:?}");
    assert!(part(&lines, "data").contains("resumed after step 4 from "), "{lines:?}");
    assert!(part(&lines, "time").contains("of training: 2 steps of "), "{lines:?}");
    // The run goes on as if nothing had been asked.
    folder.trained(&["--resume", "--name", "base"]);
    let resumed = folder.files("base").parameters();
    folder.run(&["output.name=\"whole\""]);
    assert_eq!(resumed, folder.files("whole").parameters());

    let before = listing(&folder.path("runs"));
    let ran: Ran = folder.train(&["--dry-run", "--resume", "runs/base"]);
    assert_eq!(
        (ran.code, ran.error().as_str()),
        (Some(1), "the run runs/base has ended: there is nothing to resume")
    );
    let ran = folder.train(&["--dry-run", "--set", FREEZE_ALL, "--set", "optimizer.lr=-1"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(listing(&folder.path("runs")), before);
}
