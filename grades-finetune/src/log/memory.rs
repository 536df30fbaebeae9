//! Collects the events of a run in memory.

use anyhow::Result;
use grades::tracker::FreezeEvent;

use super::event::{Event, Logger};
use crate::records::{EvalRecord, StepRecord, StopReason};

/// The events of a run, by kind.
///
/// ```no_run
/// use grades_finetune::config::{Document, RunConfig};
/// use grades_finetune::log::MemoryLogger;
/// use grades_finetune::run::Interrupt;
/// use grades_finetune::train::train_logged;
///
/// let config = RunConfig::read(Document::read("run.toml".as_ref())?.table())?;
/// let mut log = MemoryLogger::default();
/// let outcome = train_logged(&config, "run", &Interrupt::never(), &mut log)?;
/// assert_eq!(log.steps.len() as u64, outcome.summary.steps.steps);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryLogger {
    /// The lines of `steps.jsonl`.
    pub steps: Vec<StepRecord>,
    /// The lines of `freezes.jsonl`.
    pub freezes: Vec<FreezeEvent>,
    /// The lines of `evals.jsonl`.
    pub evaluations: Vec<EvalRecord>,
    /// The layers whose adapters were merged, with the step.
    pub merged: Vec<(u64, Vec<String>)>,
    /// Facts for the user.
    pub notes: Vec<String>,
    /// Warnings during the run.
    pub warnings: Vec<String>,
    /// Why the training stopped; `None` before it did.
    pub stopped: Option<StopReason>,
}

impl Logger for MemoryLogger {
    fn log(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Note(text) => self.notes.push((*text).to_owned()),
            Event::Warning(text) => self.warnings.push((*text).to_owned()),
            Event::Report(report) => self.freezes.extend_from_slice(&report.events),
            Event::Merged { step, layers } => self.merged.push((*step, layers.to_vec())),
            Event::Step(record) => self.steps.push((*record).clone()),
            Event::Evaluation(record) => self.evaluations.push((*record).clone()),
            Event::Stopped(reason) => self.stopped = Some(*reason),
            Event::Progress(_) | Event::Interrupted => {}
        }
        Ok(())
    }
}
