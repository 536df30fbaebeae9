//! Writes the events of a run into an event file.

use std::io;
use std::path::Path;

use anyhow::Result;
use grades::component::Component;
use grades::tracker::{FreezeEvent, StepReport, Transition};

use super::file::EventFile;
use crate::log::event::{Event, Logger};
use crate::records::{EvalRecord, StepRecord};

/// A logger for TensorBoard. The tags:
///
/// | tag | value |
/// |---|---|
/// | `train/loss`, `train/learning_rate`, `train/grad_norm`, `train/step_seconds` | each step |
/// | `freezing/frozen`, `freezing/cooling` | shares of the components, from 0 to 1 |
/// | `memory/process_bytes`, `memory/training_bytes` | each step |
/// | `STATISTIC/COMPONENT` | the value that the component's policy compared, each check |
/// | `STATISTIC by kind/KIND` | its mean over the components of a kind |
/// | `freezes` | as text: the components that cooled, froze or thawed, and why |
/// | `eval/loss`, `eval/accuracy` | each evaluation |
#[derive(Debug)]
pub struct TensorBoard {
    file: EventFile,
    components: Vec<Component>,
    /// The training seconds up to the step before.
    seconds: f64,
    /// Whether the last attempt to write failed.
    fails: bool,
    warning: Option<String>,
}

impl TensorBoard {
    /// Writes into a new file of a folder; see [`EventFile::create`].
    ///
    /// # Errors
    ///
    /// When the folder or the file cannot be created or written.
    pub fn open(folder: &Path, first_step: u64, components: &[Component]) -> io::Result<Self> {
        Ok(Self::new(EventFile::create(folder, first_step)?, components))
    }

    /// Writes the events of a run with these components into a file.
    pub fn new(file: EventFile, components: &[Component]) -> Self {
        Self { file, components: components.to_vec(), seconds: 0.0, fails: false, warning: None }
    }

    /// Sets the training seconds of a resumed run before its first step here.
    #[must_use]
    pub fn after(mut self, seconds: f64) -> Self {
        self.seconds = seconds;
        self
    }

    /// Writes the scalars of a step.
    fn step(&mut self, record: &StepRecord) {
        let total = self.components.len().max(1) as f64;
        let StepRecord { work, components, memory, .. } = record;
        let seconds = work.seconds - std::mem::replace(&mut self.seconds, work.seconds);
        let known = [
            ("train/loss", Some(record.loss)),
            ("train/learning_rate", Some(record.learning_rate)),
            ("train/grad_norm", record.grad_norm),
            ("train/step_seconds", Some(seconds)),
            ("freezing/frozen", Some(components.frozen as f64 / total)),
            ("freezing/cooling", Some(components.cooling as f64 / total)),
            ("memory/process_bytes", memory.memory_bytes.map(|bytes| bytes as f64)),
            ("memory/training_bytes", Some(memory.training_bytes as f64)),
        ];
        self.scalars(record.step, &known);
    }

    /// Writes the scalars of an evaluation.
    fn evaluation(&mut self, record: &EvalRecord) {
        let EvalRecord { evaluation, .. } = record;
        let known = [("eval/loss", Some(evaluation.loss)), ("eval/accuracy", evaluation.accuracy)];
        self.scalars(record.step, &known);
    }

    fn scalars(&mut self, step: u64, scalars: &[(&str, Option<f64>)]) {
        let known = scalars.iter().filter_map(|(tag, value)| Some(((*tag).to_owned(), (*value)?)));
        self.file.scalars(step, known);
    }

    /// Writes the values that policies compared, and the freezes.
    fn report(&mut self, report: &StepReport) {
        let checked = report.checked.as_ref();
        let step = checked.map_or(report.step, |checked| checked.step);
        let compared = checked.map(|checked| checked.compared.as_slice()).unwrap_or_default();
        let mut scalars = Vec::new();
        // Sums by statistic and kind, in order of appearance.
        let mut kinds: Vec<(String, f64, f64)> = Vec::new();
        for (component, cause) in self.components.iter().zip(compared) {
            let Some(cause) = cause.as_ref().filter(|cause| cause.value.is_finite()) else { continue };
            scalars.push((format!("{}/{}", cause.measure, component.name), cause.value));
            let tag = format!("{} by kind/{}", cause.measure, component.kind);
            match kinds.iter_mut().find(|(known, _, _)| *known == tag) {
                Some((_, sum, count)) => (*sum, *count) = (*sum + cause.value, *count + 1.0),
                None => kinds.push((tag, cause.value, 1.0)),
            }
        }
        scalars.extend(kinds.into_iter().map(|(tag, sum, count)| (tag, sum / count)));
        self.file.scalars(step, scalars);
        // One text per step: a tag has one value at each.
        let mut events = report.events.as_slice();
        while let Some(first) = events.first() {
            let alike = events.iter().take_while(|event| event.step == first.step).count();
            let (now, later) = events.split_at(alike);
            let lines: Vec<String> = now.iter().map(line).collect();
            self.file.text(first.step, "freezes", &lines.join("\n"));
            events = later;
        }
    }

    fn flush(&mut self) {
        let failed = self.file.flush().err();
        if let Some(error) = failed.as_ref().filter(|_| !self.fails) {
            self.warning =
                Some(format!("the files for TensorBoard cannot be written: {error}; their events wait"));
        }
        self.fails = failed.is_some();
    }
}

/// Writes an item of a list in Markdown.
fn line(event: &FreezeEvent) -> String {
    let verb = match event.event {
        Transition::Cool => "cools",
        Transition::Freeze => "froze",
        Transition::Thaw => "thawed",
        _ => "changed",
    };
    let FreezeEvent { component, statistic, value, threshold, policy, .. } = event;
    format!("- **{verb}** `{component}`: {statistic} {value:.6} against {threshold:.6} ({policy})")
}

impl Logger for TensorBoard {
    fn log(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Report(report) => self.report(report),
            Event::Step(record) => self.step(record),
            Event::Evaluation(record) => self.evaluation(record),
            _ => return Ok(()),
        }
        self.flush();
        Ok(())
    }

    fn new_warning(&mut self) -> Option<String> {
        self.warning.take()
    }

    fn incomplete(&mut self) -> Option<String> {
        let reason = match (self.file.flush(), self.file.lost()) {
            (Err(error), _) => error.to_string(),
            (Ok(()), 0) => return None,
            (Ok(()), lost) => format!("{lost} events were lost"),
        };
        Some(format!("the files for TensorBoard are incomplete: {reason}"))
    }
}
