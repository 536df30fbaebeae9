//! `report.html`, `finetune report`, `statistics.jsonl` and event files, by whole runs.

use grades::observe::Thresholds;
use grades::policy::Measure;
use grades::statistic::Statistic;

use crate::support::{FREEZE_ALL, Folder};

#[test]
fn a_run_gets_a_page_unless_told_otherwise() {
    let folder = Folder::new();
    folder.trained(&["--set", FREEZE_ALL]);
    let page = folder.text("runs/base/report.html");
    assert!(page.starts_with("<!doctype html>"));
    assert!(page.contains("all 12 components froze, so it ended after 2 of 6 steps"));
    folder.trained(&["--name", "plain", "--no-report"]);
    assert!(!folder.names("runs/plain").contains(&"report.html".to_owned()));
    assert_eq!(folder.files("plain").config()["output"]["report"].as_bool(), Some(false));
    assert!(!folder.names("runs/base").contains(&"tensorboard".to_owned()), "off unless asked for");
}

#[test]
fn statistics_jsonl_has_what_the_policy_compared() {
    let folder = Folder::new();
    let run = folder.run(&["freezing.check_every=2"]);
    let (header, checks) = run.files.statistics();
    assert_eq!(header.components.len(), 12);
    let steps: Vec<u64> = checks.iter().map(|check| check.step).collect();
    assert_eq!(steps, [2, 4, 6], "a line for each check");
    for check in &checks {
        let compared = (check.policy.as_ref(), check.statistic, &check.threshold);
        let grad_l1 = Measure::Statistic(Statistic::GradL1);
        assert_eq!(compared, ("fixed-threshold", grad_l1, &Thresholds::One(Some(1e-9))));
        assert!(check.values.len() == 12 && check.values.iter().all(|value| value.is_some_and(|v| v > 0.0)));
    }
    // What froze is asked no more.
    assert_eq!(folder.run(&[FREEZE_ALL]).files.statistics().1.len(), 2);
    folder.set_freezing("");
    assert_eq!(folder.run(&[]).files.statistics().1.len(), 0, "the components alone");
}

#[test]
fn the_page_and_the_pictures_are_made_again() {
    let folder = Folder::new();
    folder.trained(&["--set", FREEZE_ALL]);
    let before = folder.text("runs/base/report.html");
    std::fs::remove_file(folder.path("runs/base/report.html")).unwrap();
    let ran = folder.finetune(&["report", "runs/base"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "wrote runs/base/report.html\n"), "{ran:?}");
    assert_eq!(folder.text("runs/base/report.html"), before, "the same bytes");
    let ran = folder.finetune(&["report", "runs/base", "--pictures", "pictures"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        folder.names("pictures"),
        ["classes.svg", "heat-map.svg", "loss.svg", "progress.svg", "statistic-0.svg"]
    );
}

#[test]
fn several_runs_are_compared() {
    let folder = Folder::new();
    folder.run(&["output.name=b", FREEZE_ALL]);
    folder.set_freezing("");
    folder.run(&["output.name=a"]);
    let ran = folder.finetune(&["report", "runs/a", "runs/b"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.error().starts_with("--out is missing"), "{}", ran.error());
    let ran = folder.finetune(&["report", "runs/a", "runs/b", "--out", "both.html"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let page = folder.text("both.html");
    assert!(page.contains("<h1>Comparison</h1>") && page.contains("id=\"savings\""));
    let ran = folder.finetune(&["report", "runs/a", "gone", "--out", "both.html"]);
    assert!(ran.error().starts_with("gone does not exist"), "{}", ran.error());
}

#[test]
fn event_files_are_written_when_asked_for() {
    let folder = Folder::new();
    folder.run(&["output.tensorboard=true", FREEZE_ALL]);
    let files = folder.names("runs/base/tensorboard");
    assert_eq!(files.len(), 1);
    assert!(files[0].starts_with("events.out.tfevents."), "{files:?}");
    let bytes = folder.bytes(&format!("runs/base/tensorboard/{}", files[0]));
    for word in [&b"brain.Event:2"[..], b"train/loss", b"freezing/frozen", b"freezes", b"eval/accuracy"] {
        assert!(bytes.windows(word.len()).any(|window| window == word), "{word:?}");
    }
}

#[test]
fn a_run_that_begins_anew_voids_the_events_of_before() {
    let folder = Folder::new();
    folder.trained(&["--tensorboard"]);
    std::fs::remove_file(folder.path("runs/base/summary.json")).unwrap();
    folder.trained(&["--tensorboard", "--name", "base", "--resume"]);
    let files = folder.names("runs/base/tensorboard");
    let bytes = |name: &String| folder.bytes(&format!("runs/base/tensorboard/{name}"));
    // Behind the version of the second file, and not of the first, comes a mark of 20 bytes or more that has no tag.
    let second = |name: &String| {
        let bytes = bytes(name);
        let length =
            |at: usize| usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap();
        length(length(0) + 16)
    };
    assert_eq!(files.len(), 2);
    assert!(second(&files[1]) < 20 && second(&files[0]) > 20, "{} {}", second(&files[0]), second(&files[1]));
}

#[test]
fn a_page_that_cannot_be_written_is_a_warning() {
    let folder = Folder::new();
    let mut child = folder.command(crate::support::PROGRAM, &["train", "--config", "base.toml"]);
    // A folder of the page's name is put in the way as soon as the run's folder is there.
    let mut child =
        child.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let page = folder.path("runs/base/report.html");
    while std::fs::create_dir(&page).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(1));
        assert!(child.try_wait().unwrap().is_none(), "the run ended before its folder was seen");
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("warning: there is no report.html: cannot write runs/base/report.html: "),
        "{told}"
    );
    assert!(folder.names("runs/base").contains(&"summary.json".to_owned()));
}
