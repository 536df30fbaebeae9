//! The runs of a folder, from the ends of their logs.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::causes::with_causes;
use crate::checkpoint::last_step;
use crate::records::{
    EVALS, EvalRecord, FREEZES, STATISTICS, STEPS, Scores, StatisticsLine, StepRecord, StopReason, Summary,
};
use crate::storage::Lock;

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// A process has its lock.
    Running,
    /// It came to its end.
    Finished,
    /// It was broken off, and can be resumed from a checkpoint.
    Interrupted,
    /// It was broken off without a checkpoint, or loss and gradients were not finite.
    Failed,
    /// A file of it cannot be read.
    Damaged,
}

impl State {
    /// Returns the state as a word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
            Self::Damaged => "damaged",
        }
    }
}

/// A run of a folder.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    /// Its name.
    pub(super) name: String,
    /// Its state.
    pub(super) state: State,
    /// Why it ended.
    pub(super) ended: Option<StopReason>,
    /// The last step.
    pub(super) steps: u64,
    /// The planned steps, once it has ended.
    pub(super) planned_steps: Option<u64>,
    /// The score of its last evaluation, and the name of it.
    pub(super) metric: Option<&'static str>,
    /// The value of the score.
    pub(super) score: Option<f64>,
    /// The components that are frozen.
    pub(super) components_frozen: usize,
    /// All components.
    pub(super) components_total: Option<usize>,
    /// The seconds in training steps.
    pub(super) train_seconds: f64,
    /// The step of its newest checkpoint.
    pub(super) checkpoint: Option<u64>,
    /// Why it is damaged.
    pub(super) error: Option<String>,
}

/// The files of which a run's folder has at least one.
const FILES: [&str; 4] = ["config.toml", STEPS, FREEZES, Summary::FILE];

/// The most bytes of a line that is read.
const LONGEST_LINE: u64 = 1 << 20;

/// Lists the runs of a folder by name, or the one run that the folder is.
pub(super) fn list(folder: &Path) -> Result<Vec<Listed>> {
    if is_run(folder) {
        return Ok(vec![Listed::read(folder)]);
    }
    let cannot = || format!("cannot read {}", folder.display());
    let mut runs = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        if is_run(&path) {
            runs.push(Listed::read(&path));
        }
    }
    if runs.is_empty() {
        bail!("{} has no run; expected the folder of runs, which output.folder names", folder.display());
    }
    runs.sort_by_cached_key(|run| natural(&run.name));
    Ok(runs)
}

fn is_run(folder: &Path) -> bool {
    folder.is_dir() && FILES.iter().any(|name| folder.join(name).symlink_metadata().is_ok())
}

/// Splits the number off a name, so that run-10 comes after run-9.
fn natural(name: &str) -> (String, u64, String) {
    let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let number = name.get(stem.len()..).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    (stem.to_owned(), number, name.to_owned())
}

impl Listed {
    /// Reads a run; one that is damaged says so.
    fn read(folder: &Path) -> Self {
        let absolute = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
        let name = absolute
            .file_name()
            .map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into_owned());
        let mut run = Self {
            name,
            state: State::Damaged,
            ended: None,
            steps: 0,
            planned_steps: None,
            metric: None,
            score: None,
            components_frozen: 0,
            components_total: None,
            train_seconds: 0.0,
            checkpoint: None,
            error: None,
        };
        if let Err(error) = run.fill(folder) {
            run.state = State::Damaged;
            run.error = Some(with_causes(&error));
        }
        run
    }

    fn fill(&mut self, folder: &Path) -> Result<()> {
        let is_running =
            Lock::is_taken(folder).with_context(|| format!("cannot open {}", folder.display()))?;
        self.checkpoint = last_step(folder)?;
        let last: Option<StepRecord> = last_line(&folder.join(STEPS))?;
        if let Some(last) = &last {
            self.steps = last.step;
            self.components_frozen = last.components.frozen;
            self.train_seconds = last.work.seconds;
        }
        // A process that resumes the run has not yet replaced the summary of its interruption.
        let summary = Summary::read(folder)?.filter(|_| !is_running);
        match &summary {
            Some(summary) => self.fill_from(summary),
            None => {
                let evaluation: Option<EvalRecord> = last_line(&folder.join(EVALS))?;
                self.set_scores(evaluation.map(|record| record.evaluation.scores()).unwrap_or_default());
                self.components_total = components(&folder.join(STATISTICS))?;
            }
        }
        let bad = last.is_some_and(|last| last.skipped.is_some() || !last.loss.is_finite());
        self.state = match (self.ended, self.checkpoint) {
            _ if is_running => State::Running,
            (Some(ended), _) if !ended.is_premature() => State::Finished,
            (Some(StopReason::Interrupted), _) => State::Interrupted,
            (None, Some(_)) if !bad => State::Interrupted,
            _ => State::Failed,
        };
        Ok(())
    }

    fn fill_from(&mut self, summary: &Summary) {
        self.ended = Some(summary.ended);
        self.steps = summary.steps.steps;
        self.planned_steps = Some(summary.steps.planned_steps).filter(|planned| *planned > 0);
        self.components_frozen = summary.freezing.components_frozen;
        self.components_total = Some(summary.freezing.components_total);
        self.train_seconds = summary.time.train_seconds;
        let measured = summary.eval.loss.is_some() || summary.eval.accuracy.is_some();
        self.set_scores(if measured { summary.eval } else { summary.test });
    }

    fn set_scores(&mut self, scores: Scores) {
        let first =
            [("accuracy", scores.accuracy), ("exact match", scores.exact_match), ("loss", scores.loss)];
        let first = first
            .into_iter()
            .find_map(|(name, value)| Some((name, value.filter(|value| value.is_finite())?)));
        (self.metric, self.score) = first.unzip();
    }
}

/// Reads the last complete line of a log; `None` without one. The lines before it are not read, so that a log may be of any
/// length.
fn last_line<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let Some(mut file) = open(path)? else { return Ok(None) };
    let mut read = || -> std::io::Result<Vec<u8>> {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LONGEST_LINE)))?;
        let mut end = Vec::new();
        file.by_ref().take(LONGEST_LINE).read_to_end(&mut end)?;
        Ok(end)
    };
    let end = read().with_context(|| format!("cannot read {}", path.display()))?;
    let Some(length) = end.iter().rposition(|byte| *byte == b'\n') else { return Ok(None) };
    let complete = end.get(..length).unwrap_or_default();
    let line = complete.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    serde_json::from_slice(line)
        .map(Some)
        .map_err(|error| anyhow!("{}: the last line is damaged: {error}", path.display()))
}

/// Counts the components that the first line of `statistics.jsonl` names.
fn components(path: &Path) -> Result<Option<usize>> {
    let Some(file) = open(path)? else { return Ok(None) };
    let mut line = Vec::new();
    let read = BufReader::new(file).take(16 * LONGEST_LINE).read_until(b'\n', &mut line);
    read.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(match serde_json::from_slice(&line) {
        Ok(StatisticsLine::Header(header)) => Some(header.components.len()),
        _ => None,
    })
}

fn open(path: &Path) -> Result<Option<File>> {
    match grades_lora::open_regular(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}
