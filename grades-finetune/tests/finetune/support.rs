//! A folder with all that a run needs, and running the program in it.

#[path = "../../../grades-models/tests/support/tiny.rs"]
mod tiny;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) use tiny::{Tiny, VOCABULARY};

/// Two epochs of three steps each; the threshold is so low that nothing freezes.
pub(crate) const CONFIG: &str = r#"
[output]
folder = "runs"

[model]
path = "model"

[data]
train = "train.tsv"
eval = "dev.tsv"
max_tokens = 12

[training]
epochs = 2
batch_size = 8

[optimizer]
lr = 1e-3

[freezing.policy]
name = "fixed-threshold"
tau = 1e-9
"#;

/// The names of the policies that are linked into `finetune`, as messages list them.
pub(crate) const LINKED: &str = "all-of, any-of, auto-threshold, fixed-threshold, patience, per-component-type, plateau, quota, \
     relative-to-peak, signal-fraction, thaw, two-batch";

/// A threshold above every gradient: all freezes at the second step, the first that may.
pub(crate) const FREEZE_ALL: &str = "freezing.policy.tau=1e9";

/// A folder with `model/`, `train.tsv`, `dev.tsv` and `base.toml`; the program runs in it.
pub(crate) struct Folder {
    dir: TempDir,
}

/// The exit code and output of a run of the program.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self::with(&Tiny::base())
    }

    pub(crate) fn with(model: &Tiny) -> Self {
        let folder = Self { dir: TempDir::new().unwrap() };
        model.write_to(&folder.path("model"));
        folder.write("train.tsv", examples(24));
        folder.write("dev.tsv", examples(8));
        folder.write("base.toml", CONFIG);
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name)).unwrap()
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.bytes(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn toml(&self, name: &str) -> toml::Table {
        self.text(name).parse().unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The lines of a JSONL file, each of which must be whole.
    pub(crate) fn lines(&self, name: &str) -> Vec<Value> {
        let text = self.text(name);
        assert!(text.is_empty() || text.ends_with('\n'), "{name} ends within a line");
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}: {line}")))
            .collect()
    }

    /// The names in a folder, sorted; none when it does not exist.
    pub(crate) fn names(&self, name: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path(name)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A program in this folder, on the CPU and one thread whatever the machine has.
    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.dir.path())
            .env("OMP_NUM_THREADS", "1")
            .env("CUDA_VISIBLE_DEVICES", "")
            .env_remove("GRADES_LOG")
            .stdin(Stdio::null());
        command
    }

    /// Runs `finetune`.
    pub(crate) fn finetune(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(PROGRAM, arguments))
    }

    /// Runs `finetune train --config base.toml` with further arguments.
    pub(crate) fn train(&self, arguments: &[&str]) -> Ran {
        self.finetune(&[&["train", "--config", "base.toml"], arguments].concat())
    }

    /// As [`train`](Self::train), for a run that must succeed.
    pub(crate) fn trained(&self, arguments: &[&str]) -> Ran {
        let ran = self.train(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        ran
    }

    /// Trains with arguments that must be refused before anything is written, and returns the message.
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let before = self.names(".");
        let ran = self.train(arguments);
        assert_eq!(ran.code, Some(1), "{arguments:?}: {ran:?}");
        assert_eq!(ran.stdout, "");
        assert_eq!(self.names("."), before, "{arguments:?} left something behind");
        ran.error()
    }
}

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_finetune");

impl Ran {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// The message of the error, which comes last on standard error.
    pub(crate) fn error(&self) -> String {
        let (_, message) =
            self.stderr.split_once("error: ").unwrap_or_else(|| panic!("no error is told: {self:?}"));
        message.trim_end().to_owned()
    }
}

/// Sentences of 4 to 9 tokens as TSV, every other one good.
pub(crate) fn examples(count: usize) -> String {
    const REST: [&str; 5] = ["", " film", " meal it was", " book it is the", " day and it was not"];
    let line = |i: usize| {
        let (word, label) = if i.is_multiple_of(2) { ("good", "yes") } else { ("bad", "no") };
        format!("very {word}{}\t{label}\n", REST[i % REST.len()])
    };
    (0..count).map(line).collect()
}
