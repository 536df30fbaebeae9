//! Disks that are full, folders that cannot be written or are gone while a checkpoint is written.

use std::process::Stdio;

use crate::broken::{Result, broken_off, checkpoint, checkpoints, resumed};
use crate::support::{Folder, PROGRAM, Ran};

/// Runs the program where no file may grow beyond so many KiB.
fn limited(folder: &Folder, kibibytes: u64, arguments: &[&str]) -> Ran {
    let script = format!("trap '' XFSZ; ulimit -f {kibibytes}; exec \"$0\" \"$@\"");
    Ran::of(&mut folder.command("bash", &[&["-c", &script, PROGRAM], arguments].concat()))
}

/// The warnings that name the checkpoint of a step.
fn warnings(ran: &Ran, path: &str) -> Vec<String> {
    let start = format!("warning: the checkpoint {path} is not written; ");
    ran.stderr.lines().filter_map(|line| line.strip_prefix(&start)).map(str::to_owned).collect()
}

#[test]
fn a_full_disk_costs_the_checkpoint_and_nothing_else() {
    let folder = Folder::new();
    folder.trained(&["--name", "whole", "--save-every", "2", "--keep", "9"]);
    broken_off(&folder, "whole", 2, "run");
    // The parameters alone are of 9 KiB, the optimizer's moments of twice that.
    for (kibibytes, name) in [(8, "parameters.safetensors"), (16, "optimizer.safetensors")] {
        let before = folder.names(&checkpoint("run", 2));
        let ran = limited(&folder, kibibytes, &["train", "--resume", "runs/run", "--no-report"]);
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
fn meanwhile(folder: &Folder, action: impl Fn(&Folder)) -> Ran {
    let arguments =
        ["train", "--config", "base.toml", "--name", "run", "--save-every", "1", "--epochs", "60"];
    let mut command = folder.command(PROGRAM, &arguments);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !folder.path(&checkpoint("run", 1)).exists() && !folder.path(&checkpoint("run", 2)).exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    action(folder);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn checkpoints_that_are_gone_are_written_again() {
    let folder = Folder::new();
    let ran = meanwhile(&folder, |folder| {
        std::fs::rename(folder.path("runs/run/checkpoints"), folder.path("elsewhere")).unwrap();
    });
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(folder.path("runs/run/model/model.safetensors").exists());
    // At most the one that was being written is lost, and told of.
    assert!(ran.stderr.matches("warning: the checkpoint ").count() <= 1, "{}", ran.stderr);
    assert_eq!(checkpoints(&folder, "run"), [179, 180]);
}

#[test]
fn a_run_folder_that_is_gone_is_told_of_and_the_model_is_saved() {
    let folder = Folder::new();
    let ran = meanwhile(&folder, |folder| {
        std::fs::rename(folder.path("runs/run"), folder.path("runs/moved")).unwrap();
    });
    assert!(ran.stderr.contains("warning: the checkpoint runs/run/checkpoints/step-"), "{}", ran.stderr);
    assert!(ran.stderr.contains("No such file or directory"), "{}", ran.stderr);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(folder.path("runs/run/model/model.safetensors").exists());
    // The logs went with the folder, and so did checkpoints that a run can go on from.
    assert_eq!(folder.lines("runs/moved/steps.jsonl").len(), 180);
    resumed(&folder, "moved");
    assert_eq!(
        folder.bytes("runs/moved/model/model.safetensors"),
        folder.bytes("runs/run/model/model.safetensors")
    );
}

#[test]
fn a_folder_that_may_not_be_written_is_told_of() {
    let folder = Folder::new();
    let ran = meanwhile(&folder, |folder| {
        // A file in its place keeps root out as well, whom permissions do not.
        let path = folder.path("runs/run/checkpoints");
        std::fs::rename(&path, folder.path("elsewhere")).unwrap();
        std::fs::write(&path, "").unwrap();
    });
    assert!(ran.stderr.contains("warning: the checkpoint runs/run/checkpoints/step-"), "{}", ran.stderr);
    assert!(ran.stderr.contains("Not a directory"), "{}", ran.stderr);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(folder.path("runs/run/model/model.safetensors").exists());
}
