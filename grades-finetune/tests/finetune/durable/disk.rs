//! Disks that are full, folders that cannot be written or are gone while a checkpoint is written.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::durable::broken::{Result, broken_off, checkpoint, checkpoints, resumed, whole};
use crate::support::{Folder, PROGRAM, Ran};

/// The warnings that name the checkpoint of a step.
fn warnings(ran: &Ran, path: &str) -> Vec<String> {
    let start = format!("warning: the checkpoint {path} is not written; ");
    ran.stderr.lines().filter_map(|line| line.strip_prefix(&start)).map(str::to_owned).collect()
}

#[test]
fn a_full_disk_costs_the_checkpoint_and_nothing_else() {
    let folder = Folder::new();
    whole(&folder, &[]);
    broken_off(&folder, "whole", 2, "run");
    // The parameters alone are of 9 KiB, the optimizer's moments of twice that.
    for (kibibytes, name) in [(8, "parameters.safetensors"), (16, "optimizer.safetensors")] {
        let before = folder.names(&checkpoint("run", 2));
        let ran = folder.limited(kibibytes, &["train", "--resume", "runs/run", "--no-report"]);
        let told = warnings(&ran, &checkpoint("run", 4));
        assert_eq!(told.len(), 1, "{ran:?}");
        assert!(
            told[0].starts_with(&format!("the last whole one is {}: ", checkpoint("run", 2))),
            "{told:?}"
        );
        assert!(told[0].contains(name) && told[0].contains("File too large"), "{told:?}");
        assert_eq!((checkpoints(&folder, "run"), folder.names(&checkpoint("run", 2))), (vec![2], before));
        let summary = folder.path("runs/run/summary.json");
        // Where the model fits the run has ended well.
        assert_eq!(summary.exists(), ran.code == Some(0), "{ran:?}");
        if summary.exists() {
            Result::of(&folder, "run").assert_same(&Result::of(&folder, "whole"), "a full disk");
            std::fs::remove_file(summary).unwrap();
        }
    }
    resumed(&folder, "run");
    Result::of(&folder, "run").assert_same(&Result::of(&folder, "whole"), "space again");
}

/// Runs with a checkpoint at every step and does something to its folder once there is one.
fn meanwhile(folder: &Folder, program: &[&str], action: impl Fn(&Folder)) -> Ran {
    let arguments =
        ["train", "--config", "base.toml", "--name", "run", "--save-every", "1", "--epochs", "60"];
    let mut command = folder.command(program[0], &[&program[1..], &arguments].concat());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !folder.path(&checkpoint("run", 1)).exists() && !folder.path(&checkpoint("run", 2)).exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    action(folder);
    Ran::end_of(child)
}

#[test]
fn checkpoints_that_are_gone_are_written_again() {
    let folder = Folder::new();
    let ran = meanwhile(&folder, &[PROGRAM], |folder| {
        std::fs::rename(folder.path("runs/run/checkpoints"), folder.path("elsewhere")).unwrap();
    });
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(folder.path("runs/run/model/model.safetensors").exists());
    // At most the one that was being written is lost, with a warning.
    assert!(ran.stderr.matches("warning: the checkpoint ").count() <= 1, "{}", ran.stderr);
    assert_eq!(checkpoints(&folder, "run"), [179, 180]);
}

#[test]
fn a_run_folder_that_is_gone_is_told_of_and_the_model_is_saved() {
    let folder = Folder::new();
    let ran = meanwhile(&folder, &[PROGRAM], |folder| {
        std::fs::rename(folder.path("runs/run"), folder.path("runs/moved")).unwrap();
    });
    assert!(ran.stderr.contains("warning: the checkpoint runs/run/checkpoints/step-"), "{}", ran.stderr);
    assert!(ran.stderr.contains("No such file or directory"), "{}", ran.stderr);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(folder.path("runs/run/model/model.safetensors").exists());
    // The logs went with the folder, and so did checkpoints that a run can go on from.
    assert_eq!(folder.files("moved").steps().len(), 180);
    resumed(&folder, "moved");
    assert_eq!(
        folder.bytes("runs/moved/model/model.safetensors"),
        folder.bytes("runs/run/model/model.safetensors")
    );
}

/// Runs the program without root's right to write into every folder.
pub(crate) fn without_privileges() -> Vec<&'static str> {
    let probe = tempfile::tempdir().unwrap();
    std::fs::set_permissions(probe.path(), Permissions::from_mode(0o555)).unwrap();
    match std::fs::write(probe.path().join("file"), "") {
        Ok(()) => vec!["setpriv", "--bounding-set=-dac_override,-dac_read_search", PROGRAM],
        Err(_) => vec![PROGRAM],
    }
}

#[test]
fn a_folder_that_may_not_be_written_is_reported() {
    let folder = Folder::new();
    let ran = meanwhile(&folder, &without_privileges(), |folder| {
        let path = folder.path("runs/run/checkpoints");
        std::fs::set_permissions(path, Permissions::from_mode(0o555)).unwrap();
    });
    assert!(ran.stderr.contains("warning: the checkpoint runs/run/checkpoints/step-"), "{}", ran.stderr);
    assert!(ran.stderr.contains("Permission denied"), "{}", ran.stderr);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(folder.path("runs/run/model/model.safetensors").exists());
    // The earlier checkpoints are still whole; one that was being written can be neither named nor removed.
    let mut whole = folder.names("runs/run/checkpoints");
    whole.retain(|name| !name.starts_with('.'));
    assert!(!whole.is_empty() && !whole.contains(&"step-00000180".to_owned()), "{whole:?}");
    std::fs::set_permissions(folder.path("runs/run/checkpoints"), Permissions::from_mode(0o755)).unwrap();
    let model = folder.bytes("runs/run/model/model.safetensors");
    std::fs::remove_file(folder.path("runs/run/summary.json")).unwrap();
    resumed(&folder, "run");
    assert_eq!(folder.bytes("runs/run/model/model.safetensors"), model);
}

/// Runs a script of bash in a name space in which it may mount small file systems; `None` on a machine that gives none.
pub(crate) fn in_a_name_space(folder: &Folder, script: &str, arguments: &[&str]) -> Option<Ran> {
    let can = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    if !can.is_ok_and(|can| can.status.success()) {
        eprintln!("skipped: this machine lets nobody mount a small file system");
        return None;
    }
    let arguments = [&["-rm", "bash", "-c", script, PROGRAM], arguments].concat();
    Some(Ran::of(&mut folder.command("unshare", &arguments)))
}

#[test]
fn a_full_file_system_loses_nothing() {
    let folder = Folder::new();
    whole(&folder, &[]);
    let script = r#"mkdir small && mount -t tmpfs -o "size=$1" tmpfs small || exit 99
"$0" train --config base.toml --output small --name run --save-every 2 --keep 9 --no-report --quiet
echo "code $?" >&2
ls small/run/checkpoints >&2
mount -o remount,size=64m small || exit 98
test -e small/run/summary.json || "$0" train --resume small/run --quiet || exit 97
cp -r small/run runs/"#;
    // Room for one checkpoint and the model, for the model, and for the logs alone.
    for (size, ends) in [("104k", "code 0\nstep-00000002\n"), ("52k", "code 0\n"), ("24k", "code 1\n")] {
        let Some(ran) = in_a_name_space(&folder, script, &[size]) else { return };
        assert_eq!(ran.code, Some(0), "{size}: {ran:?}");
        assert!(ran.stderr.contains("No space left on device"), "{size}: {}", ran.stderr);
        assert!(ran.stderr.contains(ends), "{size}: {}", ran.stderr);
        Result::of(&folder, "run").assert_same(&Result::of(&folder, "whole"), size);
        std::fs::remove_dir_all(folder.path("runs/run")).unwrap();
        std::fs::remove_dir(folder.path("small")).unwrap();
    }
}

#[test]
fn a_file_system_that_is_full_for_a_while_costs_no_line() {
    let folder = Folder::new();
    let long = ["--epochs", "300", "--save-every", "20", "--no-report", "--quiet"];
    folder.run(&["output.name=whole", "training.epochs=300"]);
    let script = r#"mkdir small && mount -t tmpfs -o size=4m tmpfs small || exit 99
"$0" train --config base.toml --output small --name run "$@" &
until [ -e small/run/checkpoints/step-00000020 ]; do sleep 0.01; done
cat /dev/zero > small/fill 2> /dev/null; sleep 1; rm small/fill
wait $! && ls small/run/checkpoints >&2 && cp -r small/run runs/"#;
    let Some(ran) = in_a_name_space(&folder, script, &long) else { return };
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("steps.jsonl cannot be written: No space left on device"), "{}", ran.stderr);
    assert!(ran.stderr.ends_with("step-00000880\nstep-00000900\n"), "{}", ran.stderr);
    Result::of(&folder, "run").assert_same(&Result::of(&folder, "whole"), "full for a while");
    broken_off(&folder, "run", 880, "again");
    resumed(&folder, "again");
    Result::of(&folder, "again").assert_same(&Result::of(&folder, "whole"), "resumed later");
}

#[test]
fn an_old_checkpoint_that_stays_does_not_make_the_new_one_less_whole() {
    let folder = Folder::new();
    whole(&folder, &[]);
    broken_off(&folder, "whole", 2, "run");
    let old = folder.path(&checkpoint("run", 2));
    std::fs::set_permissions(&old, Permissions::from_mode(0o555)).unwrap();
    let program = without_privileges();
    let arguments =
        ["train", "--config", "base.toml", "--resume", "runs/run", "--save-every", "2", "--keep", "1"];
    let ran = Ran::of(&mut folder.command(program[0], &[&program[1..], &arguments].concat()));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("warning: an old checkpoint cannot be removed: "), "{}", ran.stderr);
    assert!(!ran.stderr.contains("is not written"), "{}", ran.stderr);
    assert!(folder.path(&checkpoint("run", 6)).join("run.toml").exists());
    Result::of(&folder, "run").assert_same(&Result::of(&folder, "whole"), "an old one stays");
    // The permissions went along to the name under which it was to be removed.
    for name in folder.names("runs/run/checkpoints") {
        let path = folder.path(&format!("runs/run/checkpoints/{name}"));
        std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
}
