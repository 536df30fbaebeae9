//! The runs of a folder as a table.

use std::fmt::Write;

use super::listed::{Listed, State};
use crate::log::duration;
use crate::printable::printable;

/// Writes a line a run, below a heading.
pub(super) fn text(runs: &[Listed]) -> String {
    let heading = ["name", "state", "steps", "score", "frozen", "time", ""].map(str::to_owned);
    let rows: Vec<[String; 7]> = std::iter::once(heading).chain(runs.iter().map(cells)).collect();
    let widths: Vec<usize> =
        (0..7).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing into a text does not fail.
            let _ = write!(line, "{cell:<width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn cells(run: &Listed) -> [String; 7] {
    let dash = || "–".to_owned();
    let steps = match run.planned_steps {
        Some(planned) => format!("{} of {planned}", run.steps),
        None => run.steps.to_string(),
    };
    let frozen = match run.components_total {
        Some(total) => format!("{} of {total}", run.components_frozen),
        None => run.components_frozen.to_string(),
    };
    let score = run.metric.zip(run.score).map(|(name, score)| format!("{name} {score:.4}"));
    let note = match (run.state, &run.error, run.checkpoint) {
        (_, Some(error), _) => printable(error).into_owned(),
        (State::Finished, ..) => run.ended.map(|ended| ended.words()).unwrap_or_default(),
        (State::Interrupted, _, Some(step)) => format!("resumes from step {step}"),
        (State::Failed, _, Some(_)) => "loss or gradients were not finite".to_owned(),
        (State::Failed, _, None) => "broken off without a checkpoint".to_owned(),
        _ => String::new(),
    };
    if run.state == State::Damaged {
        return [name(run), run.state.word().to_owned(), dash(), dash(), dash(), dash(), note];
    }
    let time = duration(run.train_seconds);
    [name(run), run.state.word().to_owned(), steps, score.unwrap_or_else(dash), frozen, time, note]
}

fn name(run: &Listed) -> String {
    printable(&run.name).into_owned()
}
