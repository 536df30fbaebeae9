//! A folder with all that a run needs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::run::message;
use super::{PROGRAM, Ran, Run, RunFiles, Running, Tiny};
use crate::tiny_decoder::TinyDecoder;

/// Two epochs of three steps each; the threshold is so low that nothing freezes.
const CONFIG: &str = r#"
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
pub(crate) const LINKED: &str = "all-of, any-of, auto-threshold, bottom-up, fixed-threshold, no-progress, patience, payoff, per-component-type, plateau, quota, \
     relative-to-peak, signal-fraction, thaw, two-batch";

/// A threshold above every gradient: all freezes at the second step, the first that may.
pub(crate) const FREEZE_ALL: &str = "freezing.policy.tau=1e9";

/// The configuration of decoders: a step an epoch, of all of [`PAIRS`], with a learning rate that stays.
const DECODER_CONFIG: &str = r#"
[output]
folder = "runs"

[model]
path = "model"
device = "cpu"

[data]
train = "train.jsonl"

[training]
batch_size = 6
epochs = 1

[optimizer]
lr = 0.02
weight_decay = 0.0

[schedule]
name = "constant"
warmup = 0.0
"#;

/// Questions and answers, the answers of different lengths.
pub(crate) const PAIRS: [(&str, &str); 6] = [
    ("what is the colour of the sky ?", "blue"),
    ("what is the colour of grass ?", "green and green"),
    ("the colour of snow ?", "white"),
    ("coal ?", "black and black and black"),
    ("what is the colour of the sun ?", "yellow"),
    ("what is a colour ?", "what is the sky and the sun"),
];

/// A temporary folder with `model/`, the data of a run and its configuration `base.toml`.
pub(crate) struct Folder {
    dir: TempDir,
}

impl Folder {
    /// A folder without files.
    pub(crate) fn empty() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    /// A base model of BERT's family, `train.tsv` and `dev.tsv`.
    pub(crate) fn new() -> Self {
        Self::with(&Tiny::base())
    }

    /// As [`new`](Self::new), with another model.
    pub(crate) fn with(model: &Tiny) -> Self {
        let folder = Self::empty();
        model.write_to(&folder.path("model"));
        folder.write("train.tsv", examples(24));
        folder.write("dev.tsv", examples(8));
        folder.write("base.toml", CONFIG);
        folder
    }

    /// A decoder, and [`PAIRS`] in `train.jsonl`.
    pub(crate) fn decoder(model: &TinyDecoder) -> Self {
        let folder = Self::empty();
        copy_folder(model.complete().path(), &folder.path("model"));
        let line = |(prompt, response): &(&str, &str)| {
            format!("{}\n", json!({"prompt": format!("{prompt} "), "response": response}))
        };
        folder.write("train.jsonl", PAIRS.iter().map(line).collect::<String>());
        folder.write("base.toml", DECODER_CONFIG);
        folder
    }

    /// Replaces the policy of `base.toml`; nothing freezes where `table` is empty.
    pub(crate) fn set_freezing(&self, table: &str) {
        let (rest, _) = CONFIG.split_once("[freezing.policy]").unwrap();
        self.write("base.toml", format!("{rest}{table}"));
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

    /// The files of the run in `runs/` that has this name.
    pub(crate) fn files(&self, run: &str) -> RunFiles {
        RunFiles { path: self.path("runs").join(run) }
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

    /// Trains in this process by `base.toml` with assignments such as `training.epochs=3`. The run must succeed.
    pub(crate) fn run(&self, assignments: &[&str]) -> Run {
        let run = self.run_until(None, assignments);
        assert_eq!(run.warnings, [""; 0], "{assignments:?}");
        run
    }

    /// As [`run`](Self::run), and requests the end after a step.
    pub(crate) fn run_until(&self, last_step: impl Into<Option<u64>>, assignments: &[&str]) -> Run {
        match Run::train(self, assignments, last_step.into()) {
            Ok(run) => run,
            Err(error) => panic!("{assignments:?}: {error:#}"),
        }
    }

    /// Trains in this process with assignments that must be refused before anything is written, and returns the message,
    /// with paths as the configuration has them.
    pub(crate) fn run_refused(&self, assignments: &[&str]) -> String {
        let before = self.names(".");
        let Err(error) = Run::train(self, assignments, None) else {
            panic!("{assignments:?} are not refused")
        };
        assert_eq!(self.names("."), before, "{assignments:?} left something behind");
        self.relative(&message(&error))
    }

    /// A text in which paths below this folder are relative to it, as the program has them.
    pub(crate) fn relative(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.dir.path().display()), "")
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

    /// Starts `finetune train --config base.toml` with further arguments, and waits for its first step.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(PROGRAM, &[&["train", "--config", "base.toml"], arguments].concat()))
    }

    /// Runs `finetune` where no file may grow beyond a number of KiB: a disk that is full.
    pub(crate) fn limited(&self, kibibytes: u64, arguments: &[&str]) -> Ran {
        let script = format!("ulimit -f {kibibytes}; exec \"$0\" \"$@\"");
        Ran::of(&mut self.command("bash", &[&["-c", &script, PROGRAM], arguments].concat()))
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

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
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
