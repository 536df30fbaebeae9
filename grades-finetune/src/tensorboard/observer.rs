//! What of a run goes into an event file.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;

use grades::component::Component;
use grades::observe::StepObserver;
use grades::tracker::{FreezeEvent, StepReport, Transition};
use grades::{Error, Result};

use super::EventFile;
use crate::records::StepRecord;

/// An observer that writes an event file, and a hand by which the recipe adds what no observer sees, such as the loss.
///
/// A clone writes into the same file. The tags:
///
/// | tag | what |
/// |---|---|
/// | `train/loss`, `train/learning_rate`, `train/grad_norm`, `train/step_seconds` | each step |
/// | `freezing/frozen`, `freezing/cooling` | shares of the components, from 0 to 1 |
/// | `memory/process_bytes`, `memory/training_bytes` | each step |
/// | `STATISTIC/COMPONENT` | what the component's policy compared, each check |
/// | `STATISTIC by kind/KIND` | its mean over the components of a kind |
/// | `freezes` | as text: what cooled, froze or was thawed, and why |
/// | `eval/loss`, `eval/accuracy` | each evaluation |
#[derive(Debug, Clone)]
pub struct TensorBoard {
    shared: Rc<RefCell<Shared>>,
}

#[derive(Debug)]
struct Shared {
    file: EventFile,
    components: Vec<Component>,
    /// The training seconds at the step before.
    seconds: f64,
    failed: Option<io::Error>,
}

impl TensorBoard {
    /// Writes into a new file of a folder; see [`EventFile::create`].
    ///
    /// # Errors
    ///
    /// When the folder or the file cannot be made or written.
    pub fn open(folder: &Path, first_step: u64, components: &[Component]) -> io::Result<Self> {
        Ok(Self::new(EventFile::create(folder, first_step)?, components))
    }

    /// Writes what happens to these components into a file.
    pub fn new(file: EventFile, components: &[Component]) -> Self {
        let shared = Shared { file, components: components.to_vec(), seconds: 0.0, failed: None };
        Self { shared: Rc::new(RefCell::new(shared)) }
    }

    /// The same, for a run that has trained for so many seconds before.
    #[must_use]
    pub fn after(self, seconds: f64) -> Self {
        self.shared.borrow_mut().seconds = seconds;
        self
    }

    /// Adds a line of `steps.jsonl`.
    pub fn step(&self, record: &StepRecord) {
        let mut shared = self.shared.borrow_mut();
        let total = shared.components.len().max(1) as f64;
        let seconds = record.work.seconds - std::mem::replace(&mut shared.seconds, record.work.seconds);
        let known = [
            ("train/loss", Some(record.loss)),
            ("train/learning_rate", Some(record.learning_rate)),
            ("train/grad_norm", record.grad_norm),
            ("train/step_seconds", Some(seconds)),
            ("freezing/frozen", Some(record.components.frozen as f64 / total)),
            ("freezing/cooling", Some(record.components.cooling as f64 / total)),
            ("memory/process_bytes", record.memory.memory_bytes.map(|bytes| bytes as f64)),
            ("memory/training_bytes", Some(record.memory.training_bytes as f64)),
        ];
        let known = known.into_iter().filter_map(|(tag, value)| Some((tag.to_owned(), value?)));
        shared.write(|file| file.scalars(record.step, known));
    }

    /// Adds an evaluation.
    pub fn evaluation(&self, step: u64, loss: f64, accuracy: Option<f64>) {
        let known = [("eval/loss", Some(loss)), ("eval/accuracy", accuracy)];
        let known = known.into_iter().filter_map(|(tag, value)| Some((tag.to_owned(), value?)));
        self.shared.borrow_mut().write(|file| file.scalars(step, known));
    }

    /// The first failure to write, if there was one; nothing was written after it.
    pub fn take_error(&self) -> Option<io::Error> {
        self.shared.borrow_mut().failed.take()
    }
}

impl Shared {
    /// Writes something and hands it to the system, unless an earlier write has failed.
    fn write(&mut self, write: impl FnOnce(&mut EventFile) -> io::Result<()>) {
        if self.failed.is_none() {
            self.failed = write(&mut self.file).and_then(|()| self.file.flush()).err();
        }
    }

    fn check(&mut self, report: &StepReport) -> io::Result<()> {
        let checked = report.checked.as_ref();
        let step = checked.map_or(report.step, |checked| checked.step);
        let compared = checked.map(|checked| checked.compared.as_slice()).unwrap_or_default();
        let mut scalars = Vec::new();
        // Sums by statistic and kind, in the order in which they come.
        let mut kinds: Vec<(String, f64, f64)> = Vec::new();
        for (component, cause) in self.components.iter().zip(compared) {
            let Some(cause) = cause.filter(|cause| cause.value.is_finite()) else { continue };
            scalars.push((format!("{}/{}", cause.measure, component.name), cause.value));
            let tag = format!("{} by kind/{}", cause.measure, component.kind);
            match kinds.iter_mut().find(|(known, _, _)| *known == tag) {
                Some((_, sum, count)) => (*sum, *count) = (*sum + cause.value, *count + 1.0),
                None => kinds.push((tag, cause.value, 1.0)),
            }
        }
        scalars.extend(kinds.into_iter().map(|(tag, sum, count)| (tag, sum / count)));
        self.file.scalars(step, scalars)?;
        // One text a step: a tag has one value at each.
        let mut events = report.events.as_slice();
        while let Some(first) = events.first() {
            let alike = events.iter().take_while(|event| event.step == first.step).count();
            let (now, later) = events.split_at(alike);
            let lines: Vec<String> = now.iter().map(line).collect();
            self.file.text(first.step, "freezes", &lines.join("\n"))?;
            events = later;
        }
        Ok(())
    }
}

/// An item of a list in Markdown.
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

impl StepObserver for TensorBoard {
    fn on_step(&mut self, report: &StepReport) -> Result<()> {
        let mut shared = self.shared.borrow_mut();
        if shared.failed.is_none() {
            let done = shared.check(report).and_then(|()| shared.file.flush());
            let doing = format!("writing {}", shared.file.path().display());
            return done.map_err(|source| Error::Io { doing, source });
        }
        Ok(())
    }
}
