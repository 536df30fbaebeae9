//! Models that find no room: a checkpoint, another file system, or room that somebody makes saves them.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::durable::broken::{Result, checkpoints, resumed};
use crate::durable::disk::in_a_name_space;
use crate::support::{Folder, PROGRAM, Ran};

#[test]
fn a_model_that_finds_no_room_is_saved_on_another_file_system() {
    let folder = Folder::new();
    folder.trained(&["--name", "whole"]);
    let script = r#"mkdir small && mount -t tmpfs -o size=24k tmpfs small || exit 99
"$0" train --config base.toml --output small --name run --no-report --quiet
echo "code $?" >&2
ls small/run >&2"#;
    let Some(ran) = in_a_name_space(&folder, script, &[]) else { return };
    assert!(ran.stderr.contains("code 1\n"), "{ran:?}");
    assert!(!ran.stderr.contains("summary.json\n"), "the run has not ended: {ran:?}");
    let told = "No space left on device (os error 28). The model is saved in ";
    assert!(ran.stderr.contains(told), "{ran:?}");
    assert!(
        ran.stderr.contains("run-rescued/model instead, with its summary; move both into small/run\n"),
        "{ran:?}"
    );
    std::fs::rename(folder.path("run-rescued"), folder.path("runs/rescued")).unwrap();
    for log in ["steps", "freezes", "statistics", "evals"] {
        std::fs::copy(
            folder.path(&format!("runs/whole/{log}.jsonl")),
            folder.path(&format!("runs/rescued/{log}.jsonl")),
        )
        .unwrap();
    }
    Result::of(&folder, "rescued").assert_same(&Result::of(&folder, "whole"), "rescued");
}

#[test]
fn a_run_waits_until_its_model_finds_room() {
    let folder = Folder::new();
    folder.trained(&["--name", "whole"]);
    // No other file system is in reach.
    let script = r#"mkdir small && mount -t tmpfs -o size=1m tmpfs small && cp -r model train.tsv dev.tsv base.toml small || exit 99
cd small && export HOME=$PWD TMPDIR=$PWD
head -c 24k /dev/zero > room; cat /dev/zero > fill 2> /dev/null; rm room
"$0" train --config base.toml --name run --no-report --quiet 2> ../told &
until grep -q "waits up to an hour" ../told || ! kill -0 $!; do sleep 0.05; done
ls -A runs/run/model > ../seen; rm fill
wait $!; echo "code $?" >&2
cp -r runs/run ../runs/"#;
    let Some(ran) = in_a_name_space(&folder, script, &[]) else { return };
    let told = folder.text("told");
    assert!(ran.stderr.contains("code 0\n"), "{ran:?} {told}");
    let warning = "No space left on device (os error 28); the model needs ";
    assert!(
        told.contains(warning)
            && told.contains(" are free. The run waits up to an hour until it can be saved"),
        "{told}"
    );
    assert_eq!(folder.text("seen"), "", "half a model was left");
    Result::of(&folder, "run").assert_same(&Result::of(&folder, "whole"), "room was made");
}

#[test]
fn scarce_room_is_named_before_the_first_step() {
    let folder = Folder::new();
    let script = r#"mkdir small && mount -t tmpfs -o size=200k tmpfs small || exit 99
"$0" train --config base.toml --output small --name run --no-report --quiet --save-every 1 "$@""#;
    let Some(ran) = in_a_name_space(&folder, script, &["--keep", "9"]) else { return };
    let first = ran.stderr.lines().next().unwrap_or_default();
    let expected = "warning: room is scarce: this run needs about ";
    assert!(first.starts_with(expected), "{ran:?}");
    for part in
        ["(model ", " kB, 6 × checkpoint ", " kB, logs ", "and small/run has 204.8 kB", "make room, lower"]
    {
        assert!(first.contains(part), "{part}: {first}");
    }
    let ran = folder.trained(&["--quiet", "--no-report"]);
    assert_eq!(ran.stderr, "", "there is room");
    let ran = folder.limited(4, &["train", "--config", "base.toml", "--quiet", "--no-report"]);
    let limit = "warning: files are limited to 4.1 kB (ulimit -f), and this run writes some of up to about ";
    assert!(ran.stderr.starts_with(limit), "{ran:?}");
}

#[test]
fn a_model_that_cannot_be_saved_is_in_the_checkpoint() {
    let folder = Folder::new();
    let options = ["--early-stopping", "--set", "early_stopping.patience=9", "--lr", "0.05"];
    folder.trained(&[&["--name", "whole"], &options[..]].concat());
    let mut child = folder
        .command(PROGRAM, &[&["train", "--config", "base.toml", "--name", "run"], &options[..]].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A file stands where the folder of the model is to be.
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = stderr.next().unwrap().unwrap();
    assert!(first.contains("results in runs/run"), "{first}");
    folder.write("runs/run/model", "");
    let rest: Vec<String> = stderr.map(std::result::Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{rest:?}");
    let told = "The checkpoint runs/run/checkpoints/step-00000006 has all that was trained: once this is cured, `finetune \
                train --resume runs/run` goes on from it";
    assert!(rest.last().unwrap().ends_with(told), "{rest:?}");
    assert_eq!(checkpoints(&folder, "run"), [6]);
    std::fs::remove_file(folder.path("runs/run/model")).unwrap();
    let ran = resumed(&folder, "run");
    assert!(ran.stderr.contains("resumed after step 6"), "{ran:?}");
    Result::of(&folder, "run").assert_same(&Result::of(&folder, "whole"), "cured");
}

#[test]
fn few_open_files_cost_the_checkpoint_and_nothing_else() {
    let folder = Folder::new();
    let options = ["--epochs", "40", "--save-every", "1", "--no-report"];
    folder.trained(&[&["--name", "whole"], &options[..]].concat());
    let mut command = folder
        .command(PROGRAM, &[&["train", "--config", "base.toml", "--name", "run"], &options[..]].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut shown = String::new();
    let mut until = |part: &str| {
        let before = shown.len();
        while !shown[before..].contains(part) {
            assert!(stderr.read_line(&mut shown).unwrap() > 0, "no \"{part}\": {shown}");
        }
    };
    until("step 1/");
    // The standard streams, the lock and the logs are open; nothing else can be opened.
    let limit = |files: &str| {
        let id = child.id().to_string();
        let set = Command::new("prlimit").args(["--pid", &id, &format!("--nofile={files}:")]).status();
        set.is_ok_and(|set| set.success())
    };
    if !limit("4") {
        eprintln!("skipped: there is no prlimit");
        child.kill().unwrap();
        child.wait().unwrap();
        return;
    }
    until("Too many open files");
    assert!(limit("1024"));
    let ran = Ran::end_of(child);
    assert_eq!(ran.code, Some(0), "{shown}{ran:?}");
    // The memory of a step is read from a file.
    let (run, whole) = (folder.files("run"), folder.files("whole"));
    assert_eq!(run.parameters(), whole.parameters());
    assert_eq!((run.steps().len(), run.evals().len()), (whole.steps().len(), whole.evals().len()));
    assert_eq!(checkpoints(&folder, "run"), checkpoints(&folder, "whole"));
}

#[test]
fn a_low_limit_of_open_files_is_raised_or_enough() {
    let folder = Folder::new();
    // The first is the limit that a process may raise, the second is not.
    for (limit, code) in [("-Sn 10", 0), ("-n 20", 0), ("-n 12", 1)] {
        let script = format!("ulimit {limit} && exec \"$0\" train --config base.toml --save-every 2 \"$@\"");
        let mut command = folder.command("bash", &["-c", &script, PROGRAM]);
        let ran = Ran::of(&mut command);
        assert_eq!(ran.code, Some(code), "{limit}: {ran:?}");
        if code == 1 {
            assert!(
                ran.error().contains("12 files at a time (ulimit -n); a run needs 16"),
                "{limit}: {ran:?}"
            );
        } else {
            assert!(!ran.stderr.contains("warning"), "{limit}: {ran:?}");
        }
    }
}
