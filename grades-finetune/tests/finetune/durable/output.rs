//! Standard output that cannot be written, and readers that close their pipe.

use std::fs::File;
use std::process::Stdio;

use serde_json::json;

use crate::support::{Folder, PROGRAM, Ran, copy_folder};
use crate::tiny_decoder::TinyDecoder;

/// A folder with a run, and commands that print.
fn prepared() -> (Folder, Vec<Vec<&'static str>>) {
    let folder = Folder::new();
    folder.trained(&["--name", "run", "--lora", "--lora-rank", "2"]);
    folder.write("ids.json", "[[2, 4, 3]]");
    copy_folder(TinyDecoder::new(json!({})).complete().path(), &folder.path("decoder"));
    let commands = [
        "--help",
        "--version",
        "train --help",
        "config",
        "config --markdown",
        "policies",
        "doctor",
        "doctor --cargo-config",
        "inspect runs/run",
        "inspect runs/run --json",
        "report runs/run",
        "logits --adapter runs/run/adapter --ids ids.json --out logits.safetensors",
        "merge --adapter runs/run/adapter --out merged",
        "monitoring --config base.toml --steps 2",
        "generate --model decoder --prompt coal --max-new-tokens 2",
        "generate --model decoder --prompt coal --max-new-tokens 2 --json",
        "convert --model decoder --out converted",
        "runs",
        "runs runs --json",
        "export steps runs/run",
        "completions bash",
        "man",
        "man train",
        "train --config base.toml --quiet",
    ];
    (folder, commands.map(|command| command.split(' ').collect()).to_vec())
}

#[test]
fn a_full_standard_output_makes_every_command_fail() {
    let (folder, commands) = prepared();
    for command in commands {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let child = folder.command(PROGRAM, &command).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let ran = Ran::end_of(child);
        assert_eq!(ran.code, Some(1), "{command:?}: {ran:?}");
        let message = "cannot write to standard output: No space left on device (os error 28)";
        assert!(ran.stderr.trim_end().ends_with(message), "{command:?}: {ran:?}");
    }
    assert!(folder.path("runs/base/summary.json").exists(), "the run has ended well");
}

#[test]
fn a_closed_pipe_is_silent() {
    let (folder, commands) = prepared();
    for command in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = folder.command(PROGRAM, &command).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let ran = Ran::end_of(child);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{command:?}");
    }
}
