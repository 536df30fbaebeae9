//! Pipes, devices and links where files are read and written: never waited for, never replaced.

use std::os::unix::fs::{FileTypeExt, symlink};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Folder, Ran, Tiny, copy_folder};
use crate::tiny_decoder::TinyDecoder;

const NOT_REGULAR: &str =
    "it is not a regular file but a pipe, a socket or a device; save its content as a file";

/// Puts a pipe in the place of a file.
fn pipe(folder: &Folder, name: &str) {
    let path = folder.path(name);
    let _ = std::fs::remove_file(&path);
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success(), "{name}");
}

/// Runs `finetune`, which must end by itself.
fn finetune(folder: &Folder, arguments: &[&str]) -> Ran {
    let begun = Instant::now();
    let ran = Ran::of(
        &mut folder.command("timeout", &[&["60", env!("CARGO_BIN_EXE_finetune")], arguments].concat()),
    );
    assert!(begun.elapsed() < Duration::from_secs(50), "{arguments:?} waits for ever");
    ran
}

#[test]
fn every_file_of_a_run_is_a_regular_one() {
    let classifier = || Folder::new();
    let decoder = || {
        let folder = Folder::decoder(&TinyDecoder::new(json!({})));
        let line = json!({"messages": [{"role": "user", "content": "sky"}, {"role": "assistant", "content": "blue"}]});
        folder.write("train.jsonl", line.to_string());
        folder
    };
    let of_classifier =
        ["train.tsv", "dev.tsv", "model/config.json", "model/tokenizer.json", "model/tokenizer_config.json"];
    let of_decoder = [
        "train.jsonl",
        "model/tokenizer_config.json",
        "model/special_tokens_map.json",
        "model/chat_template.jinja",
        "model/generation_config.json",
        "model/merges.txt",
        "model/model.safetensors",
    ];
    let files =
        of_classifier.map(|name| (name, true)).into_iter().chain(of_decoder.map(|name| (name, false)));
    for (name, of_classifier) in files {
        let folder = if of_classifier { classifier() } else { decoder() };
        pipe(&folder, name);
        let error = folder.run_refused(&[]);
        let expected = error.contains(NOT_REGULAR) || error.contains("it is not a regular file");
        assert!(expected && error.contains(name.rsplit('/').next().unwrap()), "{name}: {error}");
    }
    let folder = classifier();
    symlink("/dev/zero", folder.path("zero.tsv")).unwrap();
    let error = folder.run_refused(&["data.train=zero.tsv"]);
    assert!(error.contains(NOT_REGULAR), "{error}");
}

#[test]
fn every_option_that_reads_refuses_pipes_and_devices() {
    let folder = Folder::with(&Tiny::classifier());
    let run = folder.run(&[]);
    let run = run.files.path.file_name().unwrap().to_str().unwrap().to_owned();
    copy_folder(&folder.path("runs").join(&run), &folder.path("runs/log"));
    pipe(&folder, "runs/log/steps.jsonl");
    copy_folder(&folder.path("runs").join(&run), &folder.path("runs/config"));
    pipe(&folder, "runs/config/config.toml");
    pipe(&folder, "pipe");
    folder.write("ids.json", "[[4, 5]]");
    std::fs::create_dir(folder.path("adapter")).unwrap();
    pipe(&folder, "adapter/adapter_config.json");
    std::fs::create_dir(folder.path("comparison")).unwrap();
    pipe(&folder, "comparison/compare.json");
    for arguments in [
        &["train", "--config", "pipe"][..],
        &["train", "--config", "/dev/zero"],
        &["train", "--resume", "runs/config"],
        &["compare", "--config", "pipe"],
        &["compare", "--config", "base.toml", "--with", "pipe"],
        &["inspect", "runs/log"],
        &["inspect", "runs/config"],
        &["report", "runs/log"],
        &["logits", "--model", "model", "--ids", "pipe", "--out", "out"],
        &["logits", "--model", "model", "--ids", "/dev/zero", "--out", "out"],
        &["logits", "--model", "model", "--adapter", "adapter", "--ids", "ids.json", "--out", "out"],
        &["merge", "--adapter", "adapter", "--model", "model", "--out", "out"],
        &["generate", "--model", "model", "--prompts", "pipe"],
        &["monitoring", "--config", "pipe"],
    ] {
        let ran = finetune(&folder, arguments);
        assert_eq!(ran.code, Some(1), "{arguments:?}: {ran:?}");
        assert!(ran.error().contains(NOT_REGULAR), "{arguments:?}: {}", ran.error());
        assert!(!folder.path("out").exists(), "{arguments:?}");
    }
    for path in ["comparison", "comparison/compare.json"] {
        assert_eq!(finetune(&folder, &["report", path]).code, Some(1), "{path}");
    }
}

#[test]
fn every_option_that_writes_writes_into_special_files_and_through_links() {
    let folder = Folder::with(&Tiny::classifier());
    let run = folder.run(&[]);
    let run = run.files.path.to_str().unwrap().to_owned();
    folder.write("ids.json", "[[4, 5]]");
    let logits =
        |out: &str| finetune(&folder, &["logits", "--model", "model", "--ids", "ids.json", "--out", out]);
    let report = |out: &str| finetune(&folder, &["report", &run, "--out", out]);
    type Command<'a> = &'a dyn Fn(&str) -> Ran;
    let commands: [(&str, Command); 2] = [("logits", &logits), ("report", &report)];
    for (name, command) in commands {
        let (plain, link, target, pipe_name) =
            [".plain", ".link", ".target", ".pipe"].map(|end| format!("{name}{end}")).into();
        assert_eq!(command(&plain).code, Some(0));
        let written = folder.bytes(&plain);

        folder.write(&target, "old");
        symlink(folder.path(&target), folder.path(&link)).unwrap();
        assert_eq!(command(&link).code, Some(0));
        assert!(folder.path(&link).is_symlink(), "{name}: the link is still one");
        assert_eq!(folder.bytes(&target), written);

        assert_eq!(command("/dev/null").code, Some(0));
        assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());

        pipe(&folder, &pipe_name);
        let error = command(&pipe_name).error();
        assert!(error.ends_with("is a pipe that nobody reads"), "{name}: {error}");
        let (path, there) = (folder.path(&pipe_name), std::sync::mpsc::channel());
        std::thread::spawn(move || there.0.send(std::fs::read(path).unwrap()));
        // The reader opens the pipe a moment later.
        let mut ran = command(&pipe_name);
        while ran.code != Some(0) {
            ran = command(&pipe_name);
        }
        assert_eq!(there.1.recv_timeout(Duration::from_secs(20)).unwrap(), written, "{name}");
        assert!(std::fs::metadata(folder.path(&pipe_name)).unwrap().file_type().is_fifo());

        symlink(folder.path("nowhere"), folder.path(&format!("{name}.dead"))).unwrap();
        let error = command(&format!("{name}.dead")).error();
        assert!(error.ends_with("is a link to a file that does not exist"), "{name}: {error}");
        assert_eq!(command("model").code, Some(1), "a folder");
    }
}

#[test]
fn files_of_folders_are_never_replaced_where_they_are_no_regular_files() {
    let folder = Folder::decoder(&TinyDecoder::new(json!({})));
    std::fs::create_dir(folder.path("out")).unwrap();
    folder.write("other", "other");
    let convert = || finetune(&folder, &["convert", "--model", "model", "--out", "out"]);
    for name in ["model.safetensors", "config.json", "tokenizer.json"] {
        let path = folder.path("out").join(name);
        pipe(&folder, &format!("out/{name}"));
        let error = convert().error();
        assert!(
            error.contains(name) && error.contains("is a pipe, a socket or a device, which is not replaced"),
            "{error}"
        );
        std::fs::remove_file(&path).unwrap();
        symlink(folder.path("other"), &path).unwrap();
        let error = convert().error();
        assert!(
            error.contains(name) && error.contains("is a link, which is not replaced; remove it first"),
            "{error}"
        );
        assert_eq!(folder.text("other"), "other");
        std::fs::remove_file(&path).unwrap();
    }
    assert_eq!(convert().code, Some(0));
}
