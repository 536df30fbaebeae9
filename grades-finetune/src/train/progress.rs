//! What a run shows while it goes on: a bar in a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use grades::tracker::{FreezeEvent, Transition};
use indicatif::{ProgressBar, ProgressStyle};

/// Shows how far a run is.
#[derive(Debug)]
pub struct Progress {
    total: u64,
    components: usize,
    /// `None` shows nothing but what is always told.
    view: Option<View>,
}

#[derive(Debug)]
enum View {
    Bar(ProgressBar),
    Lines { last: Option<Instant> },
}

/// What there is to show after a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) step: u64,
    /// `None` while the losses of the first steps are still on the device.
    pub(super) loss: Option<f64>,
    pub(super) learning_rate: f64,
    pub(super) frozen: usize,
    pub(super) cooling: usize,
    pub(super) examples_per_second: f64,
    /// Training seconds so far.
    pub(super) seconds: f64,
}

/// The time from one plain line to the next.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

impl Progress {
    /// For a run of so many steps and components: a bar when standard error is a terminal.
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

    /// Shows nothing but what is [always](Self::always) told.
    pub(super) fn none() -> Self {
        Self { total: 0, components: 0, view: None }
    }

    /// Shows how things stand; plain lines come every few seconds.
    pub(super) fn show(&mut self, standing: &Standing) {
        let Some(view) = &mut self.view else { return };
        let left = standing.seconds / standing.step.max(1) as f64 * (self.total - standing.step) as f64;
        let cooling =
            if standing.cooling > 0 { format!(" (cooling {})", standing.cooling) } else { String::new() };
        let text = format!(
            "loss {}  lr {:.2e}  frozen {}/{}{cooling}  {:.0} examples/s  {} left",
            standing.loss.map_or_else(|| "–".to_owned(), |loss| format!("{loss:.4}")),
            standing.learning_rate,
            standing.frozen,
            self.components,
            standing.examples_per_second,
            duration(left),
        );
        match view {
            View::Bar(bar) => {
                bar.set_position(standing.step);
                bar.set_message(text);
            }
            View::Lines { last } => {
                if last.is_none_or(|last| last.elapsed() >= BETWEEN_LINES) || standing.step == self.total {
                    *last = Some(Instant::now());
                    tell(&format!("step {}/{}  {text}", standing.step, self.total));
                }
            }
        }
    }

    /// Tells what happened to components at one step.
    pub(super) fn freezes(&self, events: &[FreezeEvent]) {
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

    /// Tells which layers' adapters were merged after one step.
    pub(super) fn merged(&self, step: u64, layers: &[String]) {
        if !layers.is_empty() {
            let names: Vec<&str> = layers.iter().map(String::as_str).collect();
            self.line(&format!("step {step}: merged into their bases: {}", first_three(&names)));
        }
    }

    /// Prints a line of its own.
    pub fn line(&self, text: &str) {
        if self.view.is_some() {
            self.always(text);
        }
    }

    /// Prints a line of its own, also where nothing else is shown.
    pub(super) fn always(&self, text: &str) {
        match &self.view {
            Some(View::Bar(bar)) => bar.suspend(|| tell(text)),
            Some(View::Lines { .. }) | None => tell(text),
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(View::Bar(bar)) = &self.view {
            bar.finish_and_clear();
        }
    }
}

/// The first three names and how many more there are.
fn first_three(names: &[&str]) -> String {
    let more = names.len().saturating_sub(3);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    names[..names.len().min(3)].join(", ") + &more
}

/// A line on standard error. Whoever read it may be gone (`… 2>&1 | head`); the run goes on.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Seconds as a person reads them.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}
