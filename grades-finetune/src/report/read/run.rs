//! The folder of a run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use grades::observe::ComponentRecord;
use grades::tracker::FreezeEvent;

use super::statistics::{self, StatisticPanel};
use crate::records::{
    EVALS, Ending, EvalRecord, FREEZES, STATISTICS, STEPS, StepRecord, Summary, read_lines,
};

/// All that a run left so far.
#[derive(Debug, Clone)]
pub struct RunData {
    /// The folder.
    pub folder: PathBuf,
    /// Its name.
    pub name: String,
    /// `config.toml`, as text.
    pub config: String,
    /// The components; of a run without `statistics.jsonl`, those that something happened to.
    pub components: Vec<ComponentRecord>,
    /// `steps.jsonl`.
    pub steps: Vec<StepRecord>,
    /// `freezes.jsonl`.
    pub events: Vec<FreezeEvent>,
    /// `statistics.jsonl`, by what is measured.
    pub panels: Vec<StatisticPanel>,
    /// `evals.jsonl`.
    pub evaluations: Vec<EvalRecord>,
    /// `summary.json`; absent while the run goes on, or when it was cut short.
    pub summary: Option<Summary>,
}

/// The files of which a run's folder has at least one.
const FILES: [&str; 4] = ["config.toml", STEPS, FREEZES, Summary::FILE];

impl RunData {
    /// Reads a folder that `finetune train` wrote, or still writes.
    ///
    /// # Errors
    ///
    /// When it is no run, or a file cannot be read or is damaged; the error names file and line.
    pub fn read(folder: &Path) -> Result<Self> {
        is_run(folder)?;
        let file = |name: &str| folder.join(name);
        let config = match grades_lora::read_regular_text(&file("config.toml")) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", file("config.toml").display()));
            }
        };
        let events = read_lines(&file(FREEZES), Ending::MayBeCut)?;
        let events = once(events, |event: &FreezeEvent| event.step);
        let (mut components, panels) = statistics::read(&file(STATISTICS))?;
        for event in &events {
            if !components.iter().any(|component| component.name == event.component) {
                let FreezeEvent { component, kind, layer, parameters, .. } = event.clone();
                components.push(ComponentRecord { name: component, kind, layer, parameters });
            }
        }
        let absolute = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
        let name = absolute
            .file_name()
            .map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into_owned());
        let steps = read_lines(&file(STEPS), Ending::MayBeCut)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            name,
            config,
            components,
            steps: once(steps, |record: &StepRecord| record.step),
            events,
            panels,
            evaluations: read_lines(&file(EVALS), Ending::MayBeCut)?,
            summary: Summary::read(folder)?,
        })
    }

    /// Returns the configuration as a table; empty when it cannot be read.
    pub fn table(&self) -> toml::Table {
        self.config.parse().unwrap_or_default()
    }

    /// Returns the last step that was run; 0 before the first.
    pub fn last_step(&self) -> u64 {
        self.steps.last().map_or(0, |line| line.step)
    }

    /// Returns the steps that were planned, as far as that is known: those of the summary, else those that were run.
    pub fn planned_steps(&self) -> u64 {
        let planned = self.summary.as_ref().map_or(0, |summary| summary.steps.planned_steps);
        planned.max(self.last_step())
    }

    /// Counts the components.
    pub fn components_total(&self) -> usize {
        let total = self.summary.as_ref().map_or(0, |summary| summary.freezing.components_total);
        total.max(self.components.len())
    }
}

/// Returns the lines, without those that a resumed run wrote again later: where steps go back, what was before them counts.
fn once<T>(lines: Vec<T>, step: impl Fn(&T) -> u64) -> Vec<T> {
    let mut lines_once: Vec<T> = Vec::with_capacity(lines.len());
    for line in lines {
        if lines_once.last().is_some_and(|last| step(last) > step(&line)) {
            lines_once.retain(|before| step(before) < step(&line));
        }
        lines_once.push(line);
    }
    lines_once
}

/// Refuses what is no run, and says what is there instead.
fn is_run(folder: &Path) -> Result<()> {
    let expected = "expected the folder of a run, as finetune train writes it";
    if !folder.exists() {
        bail!("{} does not exist; {expected}", folder.display());
    }
    if !folder.is_dir() {
        bail!("{} is a file; {expected}", folder.display());
    }
    let has_any = |folder: &Path| FILES.iter().any(|name| folder.join(name).is_file());
    if has_any(folder) {
        return Ok(());
    }
    let mut inside: Vec<String> = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir() && has_any(path))
        .map(|path| path.display().to_string())
        .collect();
    inside.sort();
    let hint = if inside.is_empty() {
        String::new()
    } else {
        let more = if inside.len() > 3 { format!(" and {} more", inside.len() - 3) } else { String::new() };
        format!("; there are runs in it: {}{more}", inside[..inside.len().min(3)].join(", "))
    };
    bail!("{} is no run: it has none of {}; {expected}{hint}", folder.display(), FILES.join(", "))
}
