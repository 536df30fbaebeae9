//! A comparison's page.

use anyhow::Result;

use super::template::{Filters, Key, Page, PageTable, Row, render};
use crate::records::{Average, ComparisonRow, Numbers, Quantity};
use crate::report::pictures::Figure;
use crate::report::read::{ComparisonData, operations, time};
use crate::report::svg::{Unit, flops, long_seconds, percent};

/// Writes the page of a comparison.
pub(crate) fn comparison_page(comparison: &ComparisonData, figures: &[Figure]) -> Result<String> {
    let columns = columns(comparison);
    let baseline = comparison.baseline().map(|row| row.name.clone());
    let rows = comparison
        .result
        .rows
        .iter()
        .enumerate()
        .map(|(index, row)| {
            let mut cells = vec![format!("{}. {}", index + 1, row.label()), row.runs.len().to_string()];
            cells.extend(columns.iter().map(|column| column.text(row)));
            Row { cells, strong: Some(&row.name) == baseline.as_ref() }
        })
        .collect();
    let heads = ["way", "seeds"].into_iter().chain(columns.iter().map(|column| column.name));
    let title = "Comparison".to_owned();
    let page = Page {
        title: format!("{title} – finetune"),
        over: "Comparison",
        heading: title,
        sentence: sentence(comparison),
        keys: keys(comparison),
        filters: Filters {
            groups: comparison.result.rows.iter().map(|row| row.label().to_owned()).collect(),
            groups_name: "Way",
            layers: Vec::new(),
        },
        notes: notes(comparison),
        table: PageTable { table_title: "All numbers", columns: heads.map(str::to_owned).collect(), rows },
        config: String::new(),
        command: comparison.result.command.clone(),
    };
    render(&page, figures)
}

/// A column of the table.
struct Column {
    name: &'static str,
    of: fn(&Numbers) -> Option<f64>,
    unit: fn(f64) -> String,
}

impl Column {
    /// Writes the mean, and the standard deviation where there are several runs.
    fn text(&self, row: &ComparisonRow) -> String {
        let Some(Average { mean, deviation }) = row.average(|run| (self.of)(run)) else {
            return "–".to_owned();
        };
        // A deviation that rounds to 0 says nothing.
        match deviation.map(self.unit).filter(|deviation| *deviation != (self.unit)(0.0)) {
            Some(deviation) => format!("{} ± {deviation}", (self.unit)(mean)),
            None => (self.unit)(mean),
        }
    }
}

/// Returns the columns of which some row has a number.
fn columns(comparison: &ComparisonData) -> Vec<Column> {
    let plain = |value| Unit::Plain.text(value);
    let bytes = |value| Unit::Bytes.text(value);
    let count = |value| Unit::Count.text(value);
    let all = [
        Column { name: "eval accuracy", of: |run| run.get(Quantity::EvalAccuracy), unit: percent },
        Column { name: "test accuracy", of: |run| run.get(Quantity::TestAccuracy), unit: percent },
        Column { name: "eval loss", of: |run| run.get(Quantity::EvalLoss), unit: plain },
        Column { name: "test loss", of: |run| run.get(Quantity::TestLoss), unit: plain },
        Column { name: "time", of: |run| run.get(Quantity::CostSeconds), unit: long_seconds },
        Column { name: "wall time", of: |run| run.get(Quantity::WallSeconds), unit: long_seconds },
        Column { name: "training", of: |run| run.get(Quantity::TrainSeconds), unit: long_seconds },
        Column { name: "evaluation", of: |run| run.get(Quantity::EvalSeconds), unit: long_seconds },
        Column { name: "time to target", of: |run| run.get(Quantity::SecondsToTarget), unit: long_seconds },
        Column { name: "steps", of: |run| run.get(Quantity::Steps), unit: count },
        Column { name: "FLOPs", of: operations, unit: flops },
        Column { name: "FLOPs saved", of: |run| run.get(Quantity::FlopsSaved), unit: flops },
        Column { name: "peak memory", of: |run| run.get(Quantity::PeakMemoryBytes), unit: bytes },
    ];
    all.into_iter()
        .filter(|column| comparison.result.rows.iter().any(|row| row.average(column.of).is_some()))
        .collect()
}

/// Says what was compared, and which way is the fastest of those that are as good as the baseline and faster.
fn sentence(comparison: &ComparisonData) -> String {
    let rows = &comparison.result.rows;
    let mut text = format!("{} to train, {}.", plural(rows.len(), "way"), seeds(rows));
    if let Some(baseline) = comparison.baseline().filter(|_| rows.len() > 1)
        && let Some(verdict) = verdict(comparison, baseline)
    {
        text.push(' ');
        text += &verdict;
    }
    if !comparison.has_spread() && rows.iter().any(|row| !row.runs.is_empty()) {
        text += " One seed, so no spread: differences may be chance.";
    }
    text
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

/// Lists the seeds of each row.
fn seeds(rows: &[ComparisonRow]) -> String {
    let counts = || rows.iter().map(|row| row.runs.len());
    let most = counts().max().unwrap_or(0);
    let up_to = if counts().all(|count| count == most) { "" } else { "up to " };
    format!("{up_to}{} each", plural(most, "seed"))
}

/// Compares the other rows with the baseline; `None` when it has no time or no result.
fn verdict(comparison: &ComparisonData, baseline: &ComparisonRow) -> Option<String> {
    // By accuracy; by loss, where less is better, if there is none.
    let accuracies = baseline.average(|run| run.get(Quantity::EvalAccuracy)).is_some();
    let value = |row: &ComparisonRow| match accuracies {
        true => row.average(|run| run.get(Quantity::EvalAccuracy)),
        false => row.average(|run| run.get(Quantity::EvalLoss).map(|loss| -loss)),
    };
    let words =
        |value: f64| if accuracies { percent(value) } else { format!("loss {}", Unit::Plain.text(-value)) };
    let (usual, reached) = (baseline.average(time)?.mean, value(baseline)?);
    // One standard error of the baseline's mean; with one seed nothing is known of it.
    let error = reached.deviation.map(|deviation| deviation / (baseline.runs.len() as f64).sqrt());
    let least = reached.mean - error.unwrap_or(0.0);
    let others = comparison.result.rows.iter().filter(|row| row.name != baseline.name);
    let candidates = others.filter_map(|row| {
        let (time, value) = (row.average(time)?.mean, value(row)?.mean);
        (value >= least && time < usual).then_some((row, time, value))
    });
    let (label, within) =
        (baseline.label(), if error.is_some() { ", within one standard error" } else { "" });
    let reached = words(reached.mean);
    Some(match candidates.min_by(|one, other| one.1.total_cmp(&other.1)) {
        Some((row, time, value)) => format!(
            "As good as {label} ({reached}{within}) and fastest: {}, with {} in {} of the time.",
            row.label(),
            words(value),
            percent(time / usual)
        ),
        None => format!("No other way is both as good as {label} and faster; {label} reached {reached}."),
    })
}

fn keys(comparison: &ComparisonData) -> Vec<Key> {
    let extreme = |of: fn(&Numbers) -> Option<f64>, largest: bool| {
        let means = comparison.result.rows.iter().filter_map(|row| Some((row, row.average(of)?.mean)));
        means.min_by(|one, other| if largest { other.1.total_cmp(&one.1) } else { one.1.total_cmp(&other.1) })
    };
    let mut keys = Vec::new();
    let mut add = |name, found: Option<(&ComparisonRow, f64)>, unit: fn(f64) -> String| {
        if let Some((row, value)) = found {
            keys.push(Key { name, value: unit(value), note: row.label().to_owned() });
        }
    };
    add("best eval accuracy", extreme(|run| run.get(Quantity::EvalAccuracy), true), percent);
    add("best test accuracy", extreme(|run| run.get(Quantity::TestAccuracy), true), percent);
    add("least time", extreme(time, false), long_seconds);
    add("soonest at the target", extreme(|run| run.get(Quantity::SecondsToTarget), false), long_seconds);
    add("fewest FLOPs", extreme(operations, false), flops);
    add("least memory", extreme(|run| run.get(Quantity::PeakMemoryBytes), false), |value| {
        Unit::Bytes.text(value)
    });
    keys
}

fn notes(comparison: &ComparisonData) -> Vec<String> {
    let mut notes = Vec::new();
    let unfinished =
        comparison.result.rows.iter().flat_map(|row| &row.runs).filter(|run| run.ended.is_none()).count();
    if unfinished > 0 {
        notes.push(match unfinished {
            1 => "1 run has not ended; its numbers are those so far.".to_owned(),
            _ => format!("{unfinished} runs have not ended; their numbers are those so far."),
        });
    }
    for failure in &comparison.result.failures {
        notes.push(format!("Missing: {} with seed {}: {}.", failure.row, failure.seed, failure.reason));
    }
    let empty: Vec<&str> =
        comparison.result.rows.iter().filter(|row| row.runs.is_empty()).map(ComparisonRow::label).collect();
    if !empty.is_empty() {
        notes.push(format!("No run yet: {}.", empty.join(", ")));
    }
    notes
}
