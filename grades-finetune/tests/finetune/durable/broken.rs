//! Runs that are broken off, and the comparison of their results with those of an unbroken run.

use std::collections::BTreeMap;

use grades::observe::StatisticsRecord;
use grades::tracker::FreezeEvent;
use grades_finetune::records::{EvalRecord, MemoryCounts, StepRecord, Summary, Times};
use serde::Serialize;

use crate::support::{Folder, Ran, copy_folder};

/// The result of a run without its times: its logs, its model, the numbers of its summary.
#[derive(Debug)]
pub(crate) struct Result {
    pub(crate) steps: Vec<StepRecord>,
    pub(crate) freezes: Vec<FreezeEvent>,
    pub(crate) evals: Vec<EvalRecord>,
    statistics: Vec<StatisticsRecord>,
    summary: Summary,
    /// The files of the model or the adapter.
    parameters: BTreeMap<String, Vec<u8>>,
}

impl Result {
    pub(crate) fn of(folder: &Folder, run: &str) -> Self {
        let files = folder.files(run);
        let mut steps = files.steps();
        for step in &mut steps {
            assert!(step.memory.memory_bytes.take().is_some(), "a step has its memory: {step:?}");
            step.work.seconds = 0.0;
        }
        let mut evals = files.evals();
        for eval in &mut evals {
            let times = [&mut eval.train_seconds, &mut eval.validation_seconds, &mut eval.wall_seconds];
            for time in times.into_iter().chain([&mut eval.evaluation.seconds]) {
                assert!(time.is_finite(), "an evaluation has its times");
                *time = 0.0;
            }
        }
        let mut summary = files.summary();
        (summary.time, summary.memory) = (Times::default(), MemoryCounts::default());
        (summary.data.examples_per_second, summary.data.tokens_per_second) = (0.0, None);
        summary.steps.resumes = 0;
        let mut parameters = BTreeMap::new();
        for part in ["model", "adapter"] {
            let mut names = folder.names(&format!("runs/{run}/{part}"));
            // The card names the run and its configuration.
            names.retain(|name| name != "README.md");
            for name in names {
                let name = format!("{part}/{name}");
                parameters.insert(name.clone(), files.bytes(&name));
            }
        }
        assert!(!parameters.is_empty(), "{run} has neither a model nor an adapter");
        let (_, statistics) = files.statistics();
        Self { steps, freezes: files.freezes(), evals, statistics, summary, parameters }
    }

    /// Fails at the first line that differs. Lines are compared as JSON, in which a loss that is no number equals another.
    pub(crate) fn assert_same(&self, other: &Self, what: &str) {
        assert_same_lines(&self.steps, &other.steps, &format!("{what}: steps.jsonl"));
        assert_same_lines(&self.freezes, &other.freezes, &format!("{what}: freezes.jsonl"));
        assert_same_lines(&self.statistics, &other.statistics, &format!("{what}: statistics.jsonl"));
        assert_same_lines(&self.evals, &other.evals, &format!("{what}: evals.jsonl"));
        assert_same_lines(&[&self.summary], &[&other.summary], &format!("{what}: summary.json"));
        let differ: Vec<&String> = self
            .parameters
            .iter()
            .filter(|(name, bytes)| other.parameters.get(*name) != Some(bytes))
            .map(|(name, _)| name)
            .collect();
        assert!(differ.is_empty(), "{what}: {differ:?} differ");
        assert_eq!(self.parameters.len(), other.parameters.len(), "{what}: files");
    }
}

fn assert_same_lines<T: Serialize>(some: &[T], others: &[T], what: &str) {
    for (one, other) in some.iter().zip(others) {
        let [one, other] = [one, other].map(|line| serde_json::to_string(line).unwrap());
        assert_eq!(one, other, "{what}");
    }
    assert_eq!(some.len(), others.len(), "{what}: lines");
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
/// without a model, but with the lines that were written meanwhile. It shows its progress when it is resumed.
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
    let config = format!("runs/{copy}/config.toml");
    folder.write(&config, folder.text(&config).replace("\nquiet = true\n", "\nquiet = false\n"));
}

/// Trains `runs/whole` in this process, with a checkpoint at every second step.
pub(crate) fn whole(folder: &Folder, assignments: &[&str]) {
    let checkpoints = ["output.name=whole", "output.report=false", "checkpoint.every=2", "checkpoint.keep=9"];
    folder.run(&[&checkpoints[..], assignments].concat());
}

/// Runs `finetune train --resume runs/NAME`, which must succeed.
pub(crate) fn resumed(folder: &Folder, run: &str) -> Ran {
    let ran = folder.finetune(&["train", "--resume", &format!("runs/{run}")]);
    assert_eq!(ran.code, Some(0), "{run}: {ran:?}");
    ran
}
