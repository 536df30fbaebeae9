//! Parts of a run's folder that are lost, changed or left over, and the run that is resumed all the same.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use crate::durable::broken::{Result, broken_off, checkpoint, checkpoints, resumed};
use crate::durable::disk::without_privileges;
use crate::support::{Folder, Ran};

fn saved(options: &[&str]) -> Folder {
    let folder = Folder::new();
    folder.trained(&[&["--name", "whole", "--save-every", "2", "--keep", "9"], options].concat());
    folder
}

#[test]
fn a_lost_or_damaged_configuration_comes_from_the_checkpoint() {
    let folder = saved(&[]);
    for damaged in [None, Some("half = "), Some("")] {
        broken_off(&folder, "whole", 4, "run");
        match damaged {
            Some(text) => folder.write("runs/run/config.toml", text),
            None => std::fs::remove_file(folder.path("runs/run/config.toml")).unwrap(),
        }
        let ran = resumed(&folder, "run");
        assert!(ran.stderr.contains("resumed after step 4"), "{damaged:?}: {ran:?}");
        Result::of(&folder, "run").assert_same(&Result::of(&folder, "whole"), "a lost configuration");
        assert!(folder.text("runs/run/config.toml").contains("[training]"));
        std::fs::remove_dir_all(folder.path("runs/run")).unwrap();
    }
}

#[test]
fn a_report_that_was_not_written_is_made_up_for() {
    let folder = saved(&[]);
    std::fs::remove_file(folder.path("runs/whole/report.html")).unwrap();
    folder.write("runs/whole/.report.html.x1y2z3.tmp", "half");
    let names = folder.names("runs/whole/model");
    let ran = resumed(&folder, "whole");
    assert!(ran.stderr.contains("the run runs/whole has ended"), "{ran:?}");
    assert!(ran.stderr.contains("report.html was missing, and is written now"), "{ran:?}");
    assert!(folder.text("runs/whole/report.html").contains("<svg"));
    assert_eq!(folder.names("runs/whole/model"), names);
    assert!(folder.names("runs/whole").iter().all(|name| !name.starts_with('.')));
}

#[test]
fn leftovers_of_any_temporary_name_are_removed() {
    let folder = saved(&["--lora", "--lora-rank", "2"]);
    broken_off(&folder, "whole", 4, "run");
    std::fs::create_dir_all(folder.path("runs/run/adapter")).unwrap();
    for name in
        ["adapter/.adapterAb12Cd", "adapter/.adapter-Ab12Cd.tmp", ".checkpoint-Ab12Cd", ".config.toml.1.tmp"]
    {
        folder.write(&format!("runs/run/{name}"), "half");
    }
    resumed(&folder, "run");
    for part in ["", "/adapter", "/checkpoints"] {
        assert_eq!(folder.names(&format!("runs/run{part}")), folder.names(&format!("runs/whole{part}")));
    }
}

#[test]
fn a_leftover_that_cannot_be_removed_is_a_warning() {
    let folder = saved(&[]);
    broken_off(&folder, "whole", 4, "run");
    // As an old checkpoint that could not be removed has left it.
    let old = folder.path("runs/run/checkpoints/.step-00000002.1-old.tmp");
    std::fs::rename(folder.path(&checkpoint("run", 2)), &old).unwrap();
    std::fs::set_permissions(&old, Permissions::from_mode(0o555)).unwrap();
    let program = without_privileges();
    let arguments = ["train", "--resume", "runs/run"];
    let ran = Ran::of(&mut folder.command(program[0], &[&program[1..], &arguments].concat()));
    std::fs::set_permissions(&old, Permissions::from_mode(0o755)).unwrap();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let warning = "warning: a leftover of an earlier process cannot be removed: runs/run/checkpoints/.step-00000002.1-old.tmp";
    assert!(ran.stderr.contains(warning), "{ran:?}");
    Result::of(&folder, "run").assert_same(&Result::of(&folder, "whole"), "a leftover that stays");
}

#[test]
fn a_log_that_was_changed_is_noticed_by_its_checksum() {
    let folder = saved(&[]);
    broken_off(&folder, "whole", 4, "run");
    // As many bytes, in a line that only the newer checkpoint has counted.
    let text = folder.text("runs/run/steps.jsonl");
    let changed: String = text
        .split_inclusive('\n')
        .enumerate()
        .map(
            |(line, text)| {
                if line == 2 { text.replacen("\"step\":3", "\"step\":9", 1) } else { text.to_owned() }
            },
        )
        .collect();
    assert_ne!(changed, text);
    folder.write("runs/run/steps.jsonl", changed);
    let ran = resumed(&folder, "run");
    assert!(
        ran.stderr.contains("is damaged and left out: steps.jsonl was changed: the checksum of its first "),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("resumed after step 2"), "{ran:?}");
    Result::of(&folder, "run").assert_same(&Result::of(&folder, "whole"), "a changed log");
    assert_eq!(checkpoints(&folder, "run"), checkpoints(&folder, "whole"));
}

#[test]
fn every_byte_of_the_base_of_adapters_is_compared() {
    for (options, code) in [(&["--lora", "--lora-rank", "2"][..], 1), (&[], 0)] {
        let folder = Folder::new();
        // Far from both ends of a large file.
        let mut bytes = vec![0u8; 40 << 20];
        folder.write("model/more.safetensors", &bytes);
        folder.trained(&[&["--name", "run", "--save-every", "2"], options].concat());
        std::fs::remove_file(folder.path("runs/run/summary.json")).unwrap();
        bytes[20 << 20] = 1;
        folder.write("model/more.safetensors", &bytes);
        let ran = folder.finetune(&["train", "--resume", "runs/run"]);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(code == 0 || ran.error().contains("model.path, all bytes of the weights"), "{ran:?}");
    }
}

#[test]
fn the_highest_run_of_a_name_is_resumed_also_past_a_gap() {
    let folder = Folder::new();
    let options = ["--save-every", "2", "--keep", "9", "--no-report"];
    folder.trained(&[&["--name", "whole"], &options[..]].concat());
    for name in ["base", "base-2"] {
        folder.trained(&[&["--name", name], &options[..]].concat());
    }
    broken_off(&folder, "whole", 4, "base-4");
    let ran = folder.trained(&[&["--resume"], &options[..]].concat());
    assert!(ran.stderr.contains("resumed after step 4 from runs/base-4/"), "{ran:?}");
    folder.trained(&options);
    assert_eq!(folder.names("runs"), ["base", "base-2", "base-4", "base-5", "whole"]);
}
