//! The folder of a run: always a new one.

use std::os::unix::fs::PermissionsExt;

use crate::support::Folder;

#[test]
fn a_name_that_is_taken_is_refused() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path("runs/mine")).unwrap();
    folder.write("runs/mine/steps.jsonl", "kept");
    let ran = folder.train(&["--name", "mine"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(
        ran.error(),
        "the run folder runs/mine exists already; choose another name (--name) or remove it"
    );
    assert_eq!(folder.names("runs"), ["mine"]);
    assert_eq!(folder.names("runs/mine"), ["steps.jsonl"]);
    assert_eq!(folder.text("runs/mine/steps.jsonl"), "kept");
}

#[test]
fn names_that_nobody_chose_are_numbered() {
    let folder = Folder::new();
    let short = ["--max-steps", "1"];
    folder.trained(&short);
    for _ in 0..2 {
        folder.run(&["training.max_steps=1"]);
    }
    assert_eq!(folder.names("runs"), ["base", "base-2", "base-3"]);
    let own = ["train", "--model", "model", "--train", "train.tsv", "--max-tokens", "12"];
    let ran = folder.finetune(&[&own[..], &short].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(folder.names("runs").contains(&"run".to_owned()), "without a file it is called run");
    assert_eq!(folder.files("run").summary().eval.loss, None, "there is nothing to evaluate");
}

#[test]
fn a_name_is_one_folder() {
    let folder = Folder::new();
    for name in ["../up", "a/b", ".", ""] {
        let error = folder.run_refused(&[&format!("output.name={name}")]);
        assert_eq!(error, format!("output.name: \"{name}\" is not the name of a folder"));
    }
}

#[test]
fn an_output_folder_that_cannot_be_made_is_named() {
    let folder = Folder::new();
    let before = folder.bytes("train.tsv");
    let error = folder.run_refused(&["output.folder=train.tsv"]);
    assert!(error.starts_with("cannot make the folder train.tsv: "), "{error}");
    let error = folder.run_refused(&["output.folder=train.tsv/runs"]);
    assert_eq!(error, "cannot make the folder train.tsv/runs: Not a directory (os error 20)");
    assert_eq!(folder.bytes("train.tsv"), before);
}

#[test]
fn an_output_folder_that_may_not_be_written_is_named() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("locked")).unwrap();
    std::fs::set_permissions(folder.path("locked"), std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(folder.path("locked/try"), "").is_ok() {
        // Permissions do not stop root.
        return;
    }
    let error = folder.run_refused(&["output.folder=locked"]);
    assert_eq!(error, "cannot make the folder locked/base: Permission denied (os error 13)");
}
