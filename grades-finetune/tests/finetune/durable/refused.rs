//! Changes that refuse a resume, and changes that do not.

use crate::durable::broken::{Result, broken_off, resumed, whole};
use crate::support::{Folder, Ran, Run, examples};

fn saved() -> Folder {
    let folder = Folder::new();
    whole(&folder, &[]);
    broken_off(&folder, "whole", 4, "run");
    folder
}

fn resume(folder: &Folder, arguments: &[&str]) -> Ran {
    folder.finetune(&[&["train", "--resume", "runs/run"], arguments].concat())
}

/// Resumes in this process with assignments that must be refused, and returns the message.
fn refused(folder: &Folder, assignments: &[&str]) -> String {
    let files = folder.files("run");
    let before = (folder.names("runs/run"), files.bytes("steps.jsonl"));
    let error = Run::resume(folder, &files, assignments).unwrap_err();
    assert_eq!((folder.names("runs/run"), files.bytes("steps.jsonl")), before, "nothing is touched");
    folder.relative(&format!("{error:#}"))
}

#[test]
fn another_configuration_is_refused_by_its_keys() {
    let folder = saved();
    let error = refused(&folder, &["optimizer.lr=0.5", "training.epochs=3", "freezing.policy.tau=1"]);
    for part in
        ["optimizer.lr: 0.001 before, 0.5 now", "training.epochs: 2 before, 3 now", "freezing.policy.tau: "]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!error.contains("data.") && error.contains("--allow-changes"), "{error}");
    // The program ends with 1, as for any error.
    let ran = resume(&folder, &["--lr", "0.5"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.error().contains("optimizer.lr: 0.001 before, 0.5 now"), "{}", ran.error());
    assert_eq!(resume(&folder, &["--lr", "0.5", "--allow-changes"]).code, Some(0));
}

#[test]
fn what_changes_no_result_may_change() {
    let folder = saved();
    std::fs::rename(folder.path("model"), folder.path("moved")).unwrap();
    std::fs::rename(folder.path("train.tsv"), folder.path("other.tsv")).unwrap();
    let ran = resume(
        &folder,
        &["--model", "moved", "--train", "other.tsv", "--save-every", "1", "--set", "training.eval_every=2"],
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let (whole, run) = (Result::of(&folder, "whole"), Result::of(&folder, "run"));
    whole.assert_same(&run, "elsewhere");
    run.assert_same(&whole, "elsewhere");
}

#[test]
fn other_data_and_another_model_are_refused_by_their_files() {
    let folder = saved();
    folder.write("train.tsv", examples(24).replace("good", "bad "));
    let error = refused(&folder, &[]);
    assert!(error.contains("have changed since it began: data.train"), "{error}");
    folder.write("train.tsv", examples(24));
    let config = folder.text("model/config.json");
    folder.write(
        "model/config.json",
        config.replace("\"a_key_of_the_user\":[1,2]", "\"a_key_of_the_user\":[2]"),
    );
    let error = refused(&folder, &[]);
    assert!(error.contains("model.path, config.json"), "{error}");
    folder.write("model/config.json", config);
    // As many bytes, but other numbers: with adapters nothing else would show that the base is another one.
    let mut weights = folder.bytes("model/model.safetensors");
    let last = weights.len() - 1;
    weights[last] ^= 1;
    folder.write("model/model.safetensors", weights);
    let error = refused(&folder, &[]);
    assert!(error.contains("have changed since it began: model.path, weights"), "{error}");
}

#[test]
fn a_run_that_has_ended_stays_as_it_is() {
    let folder = saved();
    let before = folder.bytes("runs/whole/summary.json");
    let ran = folder.finetune(&["train", "--resume", "runs/whole"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""));
    assert!(
        ran.stderr.contains("the run runs/whole has ended: there is nothing to resume"),
        "{}",
        ran.stderr
    );
    assert_eq!(folder.bytes("runs/whole/summary.json"), before);
}

#[test]
fn the_same_command_begins_and_resumes() {
    let folder = Folder::new();
    let command = ["--name", "run", "--save-every", "2", "--keep", "9", "--resume"];
    folder.trained(&command);
    std::fs::rename(folder.path("runs/run"), folder.path("runs/whole")).unwrap();
    broken_off(&folder, "whole", 2, "run");
    let ran = folder.trained(&command);
    assert!(ran.stderr.contains("resumed after step 2"), "{}", ran.stderr);
    Result::of(&folder, "run").assert_same(&Result::of(&folder, "whole"), "the same command");
}

#[test]
fn without_a_name_the_last_run_of_the_configuration_is_meant() {
    let folder = Folder::new();
    for _ in 0..2 {
        folder.run(&["checkpoint.every=2", "checkpoint.keep=9"]);
    }
    std::fs::rename(folder.path("runs/base-2"), folder.path("runs/whole")).unwrap();
    broken_off(&folder, "whole", 2, "base-2");
    let ran = folder.trained(&["--resume", "--save-every", "2", "--keep", "9"]);
    assert!(ran.stderr.contains("resumed after step 2 from runs/base-2/"), "{}", ran.stderr);
}

#[test]
fn without_a_checkpoint_a_run_begins_anew_in_its_folder() {
    let folder = saved();
    std::fs::remove_dir_all(folder.path("runs/run/checkpoints")).unwrap();
    let ran = resumed(&folder, "run");
    assert!(ran.stderr.contains("there is no checkpoint: the run begins anew"), "{}", ran.stderr);
    Result::of(&folder, "run").assert_same(&Result::of(&folder, "whole"), "anew");

    // A process that is killed at once leaves an empty folder.
    std::fs::create_dir(folder.path("runs/empty")).unwrap();
    folder.trained(&["--name", "empty", "--resume"]);
    Result::of(&folder, "empty").assert_same(&Result::of(&folder, "whole"), "empty");
}

#[test]
fn what_is_no_run_is_refused() {
    let folder = saved();
    for (name, part) in [("model", "no config.toml"), ("nowhere", "no config.toml")] {
        let ran = folder.finetune(&["train", "--resume", name]);
        assert_eq!(ran.code, Some(1));
        assert!(ran.error().contains(part), "{}", ran.error());
    }
    let ran = folder.finetune(&["train", "--config", "base.toml", "--resume", "model"]);
    assert!(ran.error().contains("is no run's folder: it has "), "{}", ran.error());
    let ran = folder.train(&["--allow-changes"]);
    assert_eq!(ran.code, Some(2), "it goes with --resume: {ran:?}");
}

#[test]
fn links_in_a_run_are_refused() {
    for name in ["steps.jsonl", "checkpoints", "model", "summary.json"] {
        let folder = saved();
        let outside = folder.path("outside");
        let path = folder.path(&format!("runs/run/{name}"));
        if path.exists() {
            std::fs::rename(&path, &outside).unwrap();
        } else {
            std::fs::create_dir(&outside).unwrap();
        }
        std::os::unix::fs::symlink(&outside, &path).unwrap();
        let ran = resume(&folder, &[]);
        assert_eq!(ran.code, Some(1), "{name}: {ran:?}");
        assert!(ran.error().contains(&format!("runs/run/{name} is a link")), "{}", ran.error());
    }
}
