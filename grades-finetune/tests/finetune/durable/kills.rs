//! `kill -9` at any moment, the writing of checkpoints included.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::durable::broken::{Result, checkpoints};
use crate::durable::long_or;
use crate::durable::numbers::Numbers;
use crate::support::{Folder, PROGRAM};

/// Waits until something is being written under a temporary name in the folder of checkpoints.
fn wait_for_writing(folder: &Folder, child: &mut Child) {
    let limit = Instant::now() + Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() && Instant::now() < limit {
        if folder.names("runs/run/checkpoints").iter().any(|name| name.starts_with('.')) {
            return;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_run_that_is_killed_anywhere_comes_to_the_same_end() {
    let wanted = long_or(220, 10);
    let folder = Folder::new();
    let config = ["train", "--config", "base.toml", "--epochs", "40", "--save-every", "2"];
    let freezing =
        ["--set", "freezing.policy={name='quota',max_share=0.8,window=4}", "--set", "freezing.cooldown=9"];
    let run = |name| [&config[..], &freezing, &["--resume", "--name", name]].concat();
    let begun = Instant::now();
    let ran = folder.finetune(&run("whole"));
    let lasts = u64::try_from(begun.elapsed().as_millis()).unwrap();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let whole = Result::of(&folder, "whole");
    assert!(!whole.freezes.is_empty());

    // Which moments they lead to depends on the machine.
    let mut numbers = Numbers::new(7);
    let (mut kills, mut in_writing, mut ends) = (0, 0, 0);
    while kills < wanted || folder.path("runs/run").exists() {
        let mut child = folder
            .command(PROGRAM, &run("run"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        if kills < wanted {
            // A third of the kills come while a checkpoint is written, the others at any moment.
            if numbers.below(3) == 0 {
                wait_for_writing(&folder, &mut child);
                std::thread::sleep(Duration::from_micros(numbers.below(3000)));
            } else {
                std::thread::sleep(Duration::from_millis(numbers.below(lasts)));
            }
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                kills += 1;
                let names = folder.names("runs/run/checkpoints");
                in_writing += usize::from(names.iter().any(|name| name.starts_with('.')));
            }
        }
        let output = child.wait_with_output().unwrap();
        let shown = String::from_utf8_lossy(&output.stderr);
        assert!(!shown.contains("damaged"), "{shown}");
        match output.status.code() {
            // Killed.
            None => {}
            Some(code) => {
                assert_eq!(code, 0, "{shown}");
                Result::of(&folder, "run").assert_same(&whole, &format!("after {kills} kills"));
                assert_eq!(checkpoints(&folder, "run"), checkpoints(&folder, "whole"));
                std::fs::remove_dir_all(folder.path("runs/run")).unwrap();
                ends += 1;
            }
        }
    }
    println!(
        "{kills} kills, {in_writing} of them while a checkpoint was written; {ends} runs came to the same end"
    );
    assert!(ends > 0);
}
