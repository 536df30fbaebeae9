//! Damaged checkpoints are found, named and left out.

use crate::durable::broken::{Result, broken_off, checkpoint, checkpoints, resumed, whole};
use crate::support::Folder;

fn saved() -> Folder {
    let folder = Folder::new();
    whole(&folder, &[]);
    folder
}

/// Spoils the newest of two checkpoints; the run must go on from the one before and name the damage.
fn skips(folder: &Folder, spoil: impl Fn(&str), part: &str) {
    broken_off(folder, "whole", 4, "run");
    let path = checkpoint("run", 4);
    spoil(&path);
    let ran = resumed(folder, "run");
    let warning = format!("warning: the checkpoint {path} is damaged and left out: ");
    let line =
        ran.stderr.lines().find(|line| line.starts_with(&warning)).unwrap_or_else(|| panic!("{ran:?}"));
    assert!(line.contains(part), "{part}: {line}");
    assert!(ran.stderr.contains("resumed after step 2"), "{}", ran.stderr);
    Result::of(folder, "run").assert_same(&Result::of(folder, "whole"), part);
    assert_eq!(checkpoints(folder, "run"), checkpoints(folder, "whole"), "the damaged one is replaced");
    std::fs::remove_dir_all(folder.path("runs/run")).unwrap();
}

#[test]
fn a_damaged_checkpoint_is_left_out_with_a_warning_that_names_it() {
    let folder = saved();
    let flip = |path: String, place: fn(usize) -> usize| {
        let mut bytes = folder.bytes(&path);
        let place = place(bytes.len());
        bytes[place] ^= 4;
        folder.write(&path, bytes);
    };
    for name in ["parameters.safetensors", "optimizer.safetensors"] {
        skips(&folder, |path| flip(format!("{path}/{name}"), |length| length - 3), "checksum");
        skips(&folder, |path| flip(format!("{path}/{name}"), |_| 0), "checksum");
        skips(
            &folder,
            |path| {
                let bytes = folder.bytes(&format!("{path}/{name}"));
                folder.write(&format!("{path}/{name}"), &bytes[..bytes.len() - 1]);
            },
            "bytes, expected",
        );
    }
    skips(&folder, |path| flip(format!("{path}/run.toml"), |length| length / 2), "run.toml: ");
    skips(&folder, |path| folder.write(&format!("{path}/run.toml"), ""), "run.toml: it has no checksum");
    skips(
        &folder,
        |path| std::fs::remove_file(folder.path(&format!("{path}/run.toml"))).unwrap(),
        "run.toml: ",
    );
    let emptied = |path: &str| {
        std::fs::remove_dir_all(folder.path(path)).unwrap();
        folder.write(path, "");
    };
    skips(&folder, emptied, "it is no folder");
}

#[test]
fn a_log_that_is_shorter_than_a_checkpoint_has_counted_is_noticed() {
    let folder = saved();
    broken_off(&folder, "whole", 4, "run");
    let text = folder.text("runs/run/steps.jsonl");
    let three: usize = text.split_inclusive('\n').take(3).map(str::len).sum();
    folder.write("runs/run/steps.jsonl", &text[..three + 5]);
    let ran = resumed(&folder, "run");
    assert!(ran.stderr.contains("damaged and left out: steps.jsonl has "), "{}", ran.stderr);
    Result::of(&folder, "run").assert_same(&Result::of(&folder, "whole"), "a shorter log");
}

#[test]
fn a_newer_version_is_refused_by_name() {
    let folder = saved();
    broken_off(&folder, "whole", 4, "run");
    let path = format!("{}/run.toml", checkpoint("run", 4));
    let text = folder.text(&path);
    let body = text.split_once('\n').unwrap().1.replacen("version = 2", "version = 7", 1);
    folder.write(&path, format!("# checksum {:08x}\n{body}", crc32fast::hash(body.as_bytes())));
    let ran = folder.finetune(&["train", "--resume", "runs/run"]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.error().contains("step-00000004 has version 7; this program reads up to version 2"),
        "{}",
        ran.error()
    );
}

#[test]
fn what_killed_processes_left_is_removed() {
    let folder = saved();
    broken_off(&folder, "whole", 4, "run");
    std::fs::create_dir(folder.path("runs/run/checkpoints/.step-00000005.1-new.tmp")).unwrap();
    folder.write("runs/run/checkpoints/.step-00000005.1-new.tmp/parameters.safetensors", "half");
    folder.write("runs/run/.summary.json.1-0.tmp", "half");
    std::fs::create_dir(folder.path("runs/run/model")).unwrap();
    folder.write("runs/run/model/.model.safetensors.1-0.tmp", "half");
    resumed(&folder, "run");
    assert_eq!(folder.names("runs/run/model"), folder.names("runs/whole/model"));
    assert_eq!(folder.names("runs/run"), folder.names("runs/whole"));
    assert_eq!(checkpoints(&folder, "run"), checkpoints(&folder, "whole"));
}

#[test]
fn only_the_newest_are_kept() {
    let folder = Folder::new();
    folder.run(&["checkpoint.every=1", "checkpoint.keep=3"]);
    assert_eq!(checkpoints(&folder, "base"), [4, 5, 6]);
    folder.run(&["checkpoint.every=4"]);
    assert_eq!(checkpoints(&folder, "base-2"), [4]);
    folder.run(&[]);
    assert!(!folder.path("runs/base-3/checkpoints").exists());
}

#[test]
fn where_no_checkpoint_is_whole_nothing_is_thrown_away() {
    let folder = saved();
    broken_off(&folder, "whole", 4, "run");
    let statistics = folder.bytes("runs/run/statistics.jsonl");
    std::fs::remove_file(folder.path("runs/run/statistics.jsonl")).unwrap();
    let steps = folder.bytes("runs/run/steps.jsonl");
    let ran = folder.finetune(&["train", "--resume", "runs/run"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let error = ran.error();
    assert!(error.starts_with("no checkpoint of runs/run is whole:"), "{error}");
    assert!(error.contains("statistics.jsonl has 0 bytes") && error.contains("put back"), "{error}");
    assert!(error.ends_with("or remove runs/run/checkpoints to begin anew"), "{error}");
    assert_eq!((checkpoints(&folder, "run"), folder.bytes("runs/run/steps.jsonl")), (vec![2, 4], steps));
    folder.write("runs/run/statistics.jsonl", statistics);
    resumed(&folder, "run");
    Result::of(&folder, "run").assert_same(&Result::of(&folder, "whole"), "put back");
    // The user removes the checkpoints to start again.
    broken_off(&folder, "whole", 2, "anew");
    std::fs::remove_dir_all(folder.path("runs/anew/checkpoints")).unwrap();
    let ran = resumed(&folder, "anew");
    assert!(ran.stderr.contains("the run begins anew"), "{}", ran.stderr);
}

#[test]
fn a_quiet_run_warns_of_damage_too() {
    let folder = saved();
    broken_off(&folder, "whole", 4, "run");
    folder.write(&format!("{}/run.toml", checkpoint("run", 4)), "");
    let ran = folder.finetune(&["train", "--resume", "runs/run", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let warning = format!("warning: the checkpoint {} is damaged and left out: ", checkpoint("run", 4));
    assert!(ran.stderr.starts_with(&warning) && ran.stderr.lines().count() == 1, "{}", ran.stderr);
}
