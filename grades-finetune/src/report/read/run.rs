//! The folder of a run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::jsonl;
use super::statistics::{self, StatisticPanel};

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
    pub components: Vec<ComponentInfo>,
    /// `steps.jsonl`.
    pub steps: Vec<StepLine>,
    /// `freezes.jsonl`.
    pub events: Vec<EventLine>,
    /// `statistics.jsonl`, by what is measured.
    pub panels: Vec<StatisticPanel>,
    /// `evals.jsonl`.
    pub evaluations: Vec<EvaluationLine>,
    /// `summary.json`; absent while the run goes on, or when it was cut short.
    pub summary: Option<Map<String, Value>>,
}

/// A component, as `statistics.jsonl` names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentInfo {
    /// Its name.
    pub name: String,
    /// Its role.
    pub kind: String,
    /// Its transformer block.
    pub layer: Option<u32>,
    /// How many elements it holds.
    pub parameters: u64,
}

/// A line of `steps.jsonl`; what an older version did not write is absent.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct StepLine {
    /// The step, counted from 1.
    pub step: u64,
    /// The mean loss; absent when it was not finite.
    pub loss: Option<f64>,
    /// The learning rate of the update.
    pub learning_rate: Option<f64>,
    /// Seconds of training so far.
    pub seconds: f64,
    /// Components that cool after it.
    #[serde(default)]
    pub cooling: u64,
    /// Components frozen after it.
    #[serde(default)]
    pub frozen: u64,
    /// The process's resident size after it.
    pub memory_bytes: Option<f64>,
    /// Bytes of parameters, gradients and optimizer state after it.
    pub training_bytes: Option<f64>,
}

/// A line of `freezes.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventLine {
    /// `cool`, `freeze` or `thaw`.
    pub event: String,
    /// The optimizer step after which it happened.
    pub step: u64,
    /// The component's name.
    pub component: String,
    /// Its role.
    pub kind: String,
    /// Its transformer block.
    pub layer: Option<u32>,
    /// What decided.
    pub statistic: String,
    /// Its value.
    pub value: Option<f64>,
    /// What the value was compared with.
    pub threshold: Option<f64>,
    /// The policy that decided.
    pub policy: String,
    /// How many elements the component holds.
    pub parameters: u64,
}

/// A line of `evals.jsonl`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct EvaluationLine {
    /// The optimizer step after which it was.
    pub step: u64,
    /// Seconds since the run began.
    pub wall_seconds: Option<f64>,
    /// The loss.
    #[serde(alias = "eval_loss")]
    pub loss: Option<f64>,
    /// The accuracy, where there is one.
    #[serde(alias = "eval_accuracy")]
    pub accuracy: Option<f64>,
}

/// What makes a folder a run.
const FILES: [&str; 4] = ["config.toml", "steps.jsonl", "freezes.jsonl", "summary.json"];

impl RunData {
    /// Reads a folder that `finetune train` wrote, or still writes.
    ///
    /// # Errors
    ///
    /// When it is no run, or a file cannot be read or is damaged; the error names file and line.
    pub fn read(folder: &Path) -> Result<Self> {
        is_run(folder)?;
        let file = |name: &str| folder.join(name);
        let text = |name: &str| -> Result<Option<String>> {
            match std::fs::read_to_string(file(name)) {
                Ok(text) => Ok(Some(text)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error).with_context(|| format!("cannot read {}", file(name).display())),
            }
        };
        let summary = match text("summary.json")? {
            None => None,
            Some(text) => Some(
                serde_json::from_str(&text)
                    .with_context(|| format!("{}: expected a JSON object", file("summary.json").display()))?,
            ),
        };
        let events = once(jsonl::read(&file("freezes.jsonl"))?, |event: &EventLine| event.step);
        let (mut components, panels) = statistics::read(&file("statistics.jsonl"))?;
        for event in &events {
            if !components.iter().any(|component| component.name == event.component) {
                let EventLine { component, kind, layer, parameters, .. } = event.clone();
                components.push(ComponentInfo { name: component, kind, layer, parameters });
            }
        }
        let absolute = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
        let name = absolute
            .file_name()
            .map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into_owned());
        Ok(Self {
            folder: folder.to_path_buf(),
            name,
            config: text("config.toml")?.unwrap_or_default(),
            components,
            steps: once(jsonl::read(&file("steps.jsonl"))?, |line: &StepLine| line.step),
            events,
            panels,
            evaluations: jsonl::read(&file("evals.jsonl"))?,
            summary,
        })
    }

    /// A number of the summary.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.summary.as_ref()?.get(key)?.as_f64()
    }

    /// A text of the summary.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.summary.as_ref()?.get(key)?.as_str()
    }

    /// The configuration as a table; empty when it cannot be read.
    pub fn table(&self) -> toml::Table {
        self.config.parse().unwrap_or_default()
    }

    /// The last step that was run; 0 before the first.
    pub fn last_step(&self) -> u64 {
        self.steps.last().map_or(0, |line| line.step)
    }

    /// The steps that were planned, as far as that is known: those of the summary, else those that were run.
    pub fn planned_steps(&self) -> u64 {
        self.number("planned_steps").map_or(0, |steps| steps as u64).max(self.last_step())
    }

    /// How many components there are.
    pub fn components_total(&self) -> usize {
        let told = self.number("components_total").map_or(0, |total| total as usize);
        told.max(self.components.len())
    }
}

/// The lines, without those that a resumed run wrote again later: where steps go back, what was before them counts.
fn once<T>(lines: Vec<T>, step: impl Fn(&T) -> u64) -> Vec<T> {
    let mut kept: Vec<T> = Vec::with_capacity(lines.len());
    for line in lines {
        if kept.last().is_some_and(|last| step(last) > step(&line)) {
            kept.retain(|before| step(before) < step(&line));
        }
        kept.push(line);
    }
    kept
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
