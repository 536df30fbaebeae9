//! Runs that are broken off, and the comparison of their results with those of an unbroken run.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{Folder, Ran, copy_folder};

/// The result of a run without its times: its logs, its model, the numbers of its summary.
#[derive(Debug, PartialEq)]
pub(crate) struct Result {
    steps: Vec<Value>,
    freezes: Vec<Value>,
    statistics: Vec<Value>,
    evals: Vec<Value>,
    summary: BTreeMap<String, Value>,
    /// The files of the model or the adapter.
    files: BTreeMap<String, Vec<u8>>,
}

/// Keys of the summary that differ from run to run.
const TIMES: [&str; 11] = [
    "cost_seconds",
    "train_cpu_seconds",
    "validation_seconds",
    "wall_seconds",
    "train_seconds",
    "eval_seconds",
    "examples_per_second",
    "tokens_per_second",
    "peak_memory_bytes",
    "resumes",
    "optimizer_state_bytes",
];

impl Result {
    pub(crate) fn of(folder: &Folder, run: &str) -> Self {
        let run = format!("runs/{run}");
        let mut steps = folder.lines(&format!("{run}/steps.jsonl"));
        for line in &mut steps {
            let line = line.as_object_mut().unwrap();
            for key in ["seconds", "memory_bytes"] {
                line.remove(key).expect("a line has its time and memory");
            }
        }
        let mut evals = folder.lines(&format!("{run}/evals.jsonl"));
        for line in &mut evals {
            let line = line.as_object_mut().unwrap();
            for key in ["seconds", "train_seconds", "validation_seconds", "wall_seconds"] {
                line.remove(key).expect("a line has its times");
            }
        }
        let summary = folder.json(&format!("{run}/summary.json"));
        let summary = summary.as_object().unwrap().iter().filter(|(key, _)| !TIMES.contains(&key.as_str()));
        let mut files = BTreeMap::new();
        for part in ["model", "adapter"] {
            for name in folder.names(&format!("{run}/{part}")) {
                let name = format!("{run}/{part}/{name}");
                files.insert(name.replace(&run, ""), folder.bytes(&name));
            }
        }
        assert!(!files.is_empty(), "{run} has neither a model nor an adapter");
        Self {
            steps,
            freezes: folder.lines(&format!("{run}/freezes.jsonl")),
            statistics: folder.lines(&format!("{run}/statistics.jsonl")),
            evals,
            summary: summary.map(|(key, value)| (key.clone(), value.clone())).collect(),
            files,
        }
    }

    pub(crate) fn steps(&self) -> &[Value] {
        &self.steps
    }

    pub(crate) fn evals(&self) -> &[Value] {
        &self.evals
    }

    pub(crate) fn freezes(&self) -> &[Value] {
        &self.freezes
    }

    /// Fails at the first line that differs.
    pub(crate) fn assert_same(&self, other: &Self, what: &str) {
        for (one, other) in self.steps.iter().zip(&other.steps) {
            assert_eq!(one, other, "{what}");
        }
        assert_eq!(self.steps.len(), other.steps.len(), "{what}: lines of steps.jsonl");
        assert_eq!(self.freezes, other.freezes, "{what}: freezes.jsonl");
        assert_eq!(self.statistics, other.statistics, "{what}: statistics.jsonl");
        assert_eq!(self.evals, other.evals, "{what}: evals.jsonl");
        assert_eq!(self.summary, other.summary, "{what}: summary.json");
        let differ: Vec<&String> = self
            .files
            .iter()
            .filter(|(name, bytes)| other.files.get(*name) != Some(bytes))
            .map(|(name, _)| name)
            .collect();
        assert!(differ.is_empty(), "{what}: {differ:?} differ");
        assert_eq!(self.files.len(), other.files.len(), "{what}: files");
    }
}

/// Returns the steps of the checkpoints of a run.
pub(crate) fn checkpoints(folder: &Folder, run: &str) -> Vec<u64> {
    let names = folder.names(&format!("runs/{run}/checkpoints"));
    names.iter().map(|name| name.strip_prefix("step-").expect(name).parse().unwrap()).collect()
}

/// Returns the folder of a checkpoint.
pub(crate) fn checkpoint(run: &str, step: u64) -> String {
    format!("runs/{run}/checkpoints/step-{step:08}")
}

/// Copies a run as a `kill -9` would have left it some time after the checkpoint of `step`: without later checkpoints and
/// without a model, but with the lines that were written meanwhile.
pub(crate) fn broken_off(folder: &Folder, run: &str, step: u64, copy: &str) {
    let (from, to) = (folder.path(&format!("runs/{run}")), folder.path(&format!("runs/{copy}")));
    copy_folder(&from, &to);
    for later in checkpoints(folder, copy).into_iter().filter(|found| *found > step) {
        std::fs::remove_dir_all(folder.path(&checkpoint(copy, later))).unwrap();
    }
    for name in ["model", "adapter"] {
        let path = to.join(name);
        if path.exists() {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
    std::fs::remove_file(to.join("summary.json")).unwrap();
}

/// Runs `finetune train --resume runs/NAME`, which must succeed.
pub(crate) fn resumed(folder: &Folder, run: &str) -> Ran {
    let ran = folder.finetune(&["train", "--resume", &format!("runs/{run}")]);
    assert_eq!(ran.code, Some(0), "{run}: {ran:?}");
    ran
}
