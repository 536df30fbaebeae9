//! `finetune inspect`.

use grades::tracker::FreezeEvent;
use serde_json::Value;

use crate::support::{FREEZE_ALL, Folder, PROGRAM, Ran};
use crate::tolerance::{FORMULA, assert_number_within};

#[test]
fn the_timeline_tells_when_why_and_what_it_saved() {
    let folder = Folder::new();
    folder.run(&[FREEZE_ALL, "freezing.policy.metric=\"grad-mean-abs\""]);
    let short = folder.finetune(&["inspect", "runs/base", "--width", "200"]);
    assert_eq!(short.code, Some(0), "{short:?}");
    let together: Vec<&str> = short.stdout.lines().filter(|line| line.contains(" froze ")).collect();
    assert!(together[0].starts_with("2  12 components froze grad-mean-abs "), "{together:?}");
    assert!(together[0].ends_with(" against 1e9 (fixed-threshold)"), "{together:?}");
    let ran = folder.finetune(&["inspect", "runs/base", "--width", "200", "--each"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(
        lines[0].starts_with("base: all 12 components froze, so it ended after 2 of 6 steps, with accuracy "),
        "{}",
        lines[0]
    );
    let head = lines.iter().position(|line| line.starts_with("block")).unwrap();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(lines[head]), ["block", "query", "key", "value", "output", "up", "down"]);
    assert_eq!(words(lines[head + 1]), ["0", "2", "2", "2", "2", "2", "2"]);
    assert_eq!(words(lines[head + 2]), ["1", "2", "2", "2", "2", "2", "2"]);
    let froze: Vec<&&str> = lines.iter().filter(|line| line.contains("  froze   ")).collect();
    assert_eq!(froze.len(), 12);
    assert!(froze[0].contains(&folder.files("base").freezes()[0].component), "{}", froze[0]);
    assert!(froze[0].ends_with("against 1e9 (fixed-threshold)"), "{}", froze[0]);
    assert!(lines.iter().any(|line| line.starts_with("Updates of weights not made: 66.7")));
    assert!(lines.iter().any(|line| line.starts_with("Fewer steps: 4 of 6 were not needed")));
}

#[test]
fn lines_fit_a_narrow_terminal() {
    let folder = Folder::new();
    folder.run(&[FREEZE_ALL]);
    let name = folder.files("base").freezes().iter().map(|event| event.component.len()).max();
    // A component's name is never broken.
    let most = name.unwrap() + 16;
    let mut command = folder.command(PROGRAM, &["inspect", "runs/base"]);
    let ran = Ran::of(command.env("COLUMNS", "30"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for line in ran.stdout.lines().filter(|line| !line.contains("encoder")) {
        assert!(line.chars().count() <= most.min(52), "{line}");
    }
    let table = ran.stdout.lines().filter(|line| line.starts_with("block")).collect::<Vec<_>>();
    assert!(table.len() > 1, "the kinds do not fit side by side: {table:?}");
    assert!(table.iter().all(|line| line.len() <= 30), "{table:?}");
}

#[test]
fn json_has_all_components_and_events() {
    let folder = Folder::new();
    folder.run(&[FREEZE_ALL]);
    let ran = folder.finetune(&["inspect", "runs/base", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    let events: Vec<FreezeEvent> = serde_json::from_value(told["events"].clone()).unwrap();
    assert_eq!(events, folder.files("base").freezes());
    let components = told["components"].as_array().unwrap();
    assert_eq!(components.len(), 12);
    for component in components {
        assert_eq!((&component["decided"], &component["frozen"]), (&Value::from(2), &Value::from(2)));
        assert_eq!(component["cause"]["policy"], "fixed-threshold");
    }
    assert_eq!((&told["saved"]["steps"], &told["ended"]), (&Value::from(4), &Value::from("all-frozen")));
    let share = told["saved"]["updates_share"].as_f64().unwrap();
    assert_number_within(share, 2.0 / 3.0, FORMULA, "updates_share");
}

#[test]
fn an_unfinished_run_is_shown_so_far() {
    let folder = Folder::new();
    folder.run(&["freezing.policy={name=\"signal-fraction\",floor=1.0,window=1,hits=1}", "freezing.grace=0"]);
    std::fs::remove_file(folder.path("runs/base/summary.json")).unwrap();
    let ran = folder.finetune(&["inspect", "runs/base", "--each"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.starts_with("base: it has not ended; 4 steps so far"), "{}", ran.stdout);
    assert!(ran.stdout.contains("  cools   "), "{}", ran.stdout);
    for file in ["freezes.jsonl", "statistics.jsonl", "steps.jsonl"] {
        std::fs::remove_file(folder.path("runs/base").join(file)).unwrap();
    }
    let ran = folder.finetune(&["inspect", "runs/base"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("No component is known"), "{}", ran.stdout);
}

#[test]
fn what_is_no_run_and_what_is_damaged_is_named() {
    let folder = Folder::new();
    let ran = folder.finetune(&["inspect", "model"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.error().starts_with("model is no run: it has none of config.toml, "), "{}", ran.error());
    folder.run(&[FREEZE_ALL]);
    let text = folder.text("runs/base/freezes.jsonl").replacen("\"step\":2", "\"step\":\"two\"", 1);
    folder.write("runs/base/freezes.jsonl", text);
    let ran = folder.finetune(&["inspect", "runs/base"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(
        ran.error().starts_with("runs/base/freezes.jsonl:1: invalid type: string \"two\""),
        "{}",
        ran.error()
    );
    let ran = folder.finetune(&["inspect", "runs"]);
    assert!(ran.error().ends_with("there are runs in it: runs/base"), "{}", ran.error());
}

#[test]
fn a_run_in_which_little_froze_says_why() {
    let folder = Folder::new();
    folder.run(&[]);
    let ran = folder.finetune(&["inspect", "runs/base", "--width", "300"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let why = ran.stdout.lines().nth(1).unwrap();
    assert!(
        why.starts_with("12 of 12 components stayed above their thresholds; the closest, bert."),
        "{why}"
    );
    assert!(why.ends_with(" against 1e-9."), "{why}");
}
