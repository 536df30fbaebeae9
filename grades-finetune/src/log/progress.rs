//! Progress on standard error: a bar in a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::Result;
use grades::tracker::{FreezeEvent, Transition};
use indicatif::{ProgressBar, ProgressStyle};

use super::event::{Event, Logger, ProgressState};
use crate::printable::printable_message;
use crate::records::EvalRecord;

/// Shows the progress of a run.
#[derive(Debug)]
pub struct Progress {
    total: u64,
    components: usize,
    /// `None` shows warnings only.
    view: Option<View>,
}

#[derive(Debug)]
enum View {
    Bar(ProgressBar),
    Lines { last: Option<Instant> },
}

/// The time from one plain line to the next.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

impl Progress {
    /// Shows a run of `total` steps with `components` components: as a bar when standard error is a terminal.
    pub fn new(total: u64, components: usize) -> Self {
        let view = if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new(total);
            // The template is a constant; a default bar is shown should it ever be wrong.
            if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}") {
                bar.set_style(style);
            }
            View::Bar(bar)
        } else {
            View::Lines { last: None }
        };
        Self { total, components, view: Some(view) }
    }

    /// Shows warnings only.
    pub(crate) fn quiet() -> Self {
        Self { total: 0, components: 0, view: None }
    }

    /// Shows the state after a step; plain lines come every few seconds.
    fn show(&mut self, state: &ProgressState) {
        let Some(view) = &mut self.view else { return };
        let left = state.seconds / state.step.max(1) as f64 * self.total.saturating_sub(state.step) as f64;
        let cooling = if state.components.cooling > 0 {
            format!(" (cooling {})", state.components.cooling)
        } else {
            String::new()
        };
        let text = format!(
            "loss {}  lr {:.2e}  frozen {}/{}{cooling}  {:.0} examples/s  {} left",
            state.loss.map_or_else(|| "–".to_owned(), |loss| format!("{loss:.4}")),
            state.learning_rate,
            state.components.frozen,
            self.components,
            state.examples_per_second,
            duration(left),
        );
        match view {
            View::Bar(bar) => {
                bar.set_position(state.step);
                bar.set_message(text);
            }
            View::Lines { last } => {
                if last.is_none_or(|last| last.elapsed() >= BETWEEN_LINES) || state.step == self.total {
                    *last = Some(Instant::now());
                    print(&format!("step {}/{}  {text}", state.step, self.total));
                }
            }
        }
    }

    /// Prints the cool-downs, freezes and thaws of a step.
    fn freezes(&self, events: &[FreezeEvent]) {
        for (kind, verb) in
            [(Transition::Cool, "cooling"), (Transition::Freeze, "froze"), (Transition::Thaw, "thawed")]
        {
            let names: Vec<&str> = events
                .iter()
                .filter(|event| event.event == kind)
                .map(|event| event.component.as_str())
                .collect();
            if let Some(first) = events.first().filter(|_| !names.is_empty()) {
                self.line(&format!("step {}: {verb} {}", first.step, first_three(&names)));
            }
        }
    }

    /// Prints the layers whose adapters were merged after a step.
    fn merged(&self, step: u64, layers: &[String]) {
        if !layers.is_empty() {
            let names: Vec<&str> = layers.iter().map(String::as_str).collect();
            self.line(&format!("step {step}: merged into their bases: {}", first_three(&names)));
        }
    }

    /// Prints a line, unless the run is quiet.
    pub fn line(&self, text: &str) {
        if self.view.is_some() {
            self.always(text);
        }
    }

    /// Prints a line, also in a quiet run.
    fn always(&self, text: &str) {
        match &self.view {
            Some(View::Bar(bar)) => bar.suspend(|| print(text)),
            Some(View::Lines { .. }) | None => print(text),
        }
    }

    /// Prints an evaluation between steps.
    fn evaluation(&self, record: &EvalRecord) {
        if !record.is_final {
            self.line(&format!("step {}: eval {}", record.step, record.evaluation.text()));
        }
    }

    /// Removes the bar.
    fn finish(&self) {
        if let Some(View::Bar(bar)) = &self.view {
            bar.finish_and_clear();
        }
    }
}

impl Logger for Progress {
    fn log(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Note(text) => self.line(text),
            Event::Warning(text) => self.always(&format!("warning: {text}")),
            Event::Report(report) => self.freezes(&report.events),
            Event::Merged { step, layers } => self.merged(*step, layers),
            Event::Progress(state) => self.show(state),
            Event::Evaluation(record) => self.evaluation(record),
            Event::Interrupted => self.always("interrupted: saving what is trained so far"),
            Event::Stopped(_) => self.finish(),
            Event::Step(_) => {}
        }
        Ok(())
    }
}

/// Lists the first three names and the number of the others.
fn first_three(names: &[&str]) -> String {
    let more = names.len().saturating_sub(3);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    names[..names.len().min(3)].join(", ") + &more
}

/// Prints a line on standard error. When its reader is gone (`… 2>&1 | head`), the run goes on.
fn print(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", printable_message(text));
}

/// Writes seconds as a person reads them.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}
