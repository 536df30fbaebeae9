//! A comparison's page.

use anyhow::Result;

use super::{Key, Page, Row, render};
use crate::records::{Average, ComparisonRow, Numbers, Quantity};
use crate::report::pictures::Figure;
use crate::report::read::{ComparisonData, operations, time};
use crate::report::svg::{Unit, long_seconds, percent};

/// The page of a comparison.
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
        roles: comparison.result.rows.iter().map(|row| row.label().to_owned()).collect(),
        roles_name: "Way",
        layers: Vec::new(),
        notes: notes(comparison),
        table_title: "All numbers",
        columns: heads.map(str::to_owned).collect(),
        rows,
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
    /// The mean, and the standard deviation where there are several runs.
    fn text(&self, row: &ComparisonRow) -> String {
        let Some(Average { mean, deviation }) = row.average(|run| (self.of)(run)) else {
            return "–".to_owned();
        };
        match deviation.filter(|deviation| *deviation > 0.0) {
            Some(deviation) => format!("{} ± {}", (self.unit)(mean), (self.unit)(deviation)),
            None => (self.unit)(mean),
        }
    }
}

/// The columns of which some row has a number.
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
        Column { name: "FLOPs", of: operations, unit: plain },
        Column { name: "FLOPs saved", of: |run| run.get(Quantity::FlopsSaved), unit: plain },
        Column { name: "peak memory", of: |run| run.get(Quantity::PeakMemoryBytes), unit: bytes },
    ];
    all.into_iter()
        .filter(|column| comparison.result.rows.iter().any(|row| row.average(column.of).is_some()))
        .collect()
}

/// The fastest of those that are as good as the baseline.
fn sentence(comparison: &ComparisonData) -> String {
    let seeds = comparison.result.rows.iter().map(|row| row.runs.len()).max().unwrap_or(0);
    let ways = comparison.result.rows.len();
    let mut text = format!("{ways} ways to train, up to {seeds} seeds each.");
    let Some(baseline) = comparison.baseline().filter(|_| ways > 1) else { return text };
    // By accuracy; by loss, where less is better, if there is none.
    let accuracies = baseline.average(|run| run.get(Quantity::EvalAccuracy)).is_some();
    let value = |row: &ComparisonRow| match accuracies {
        true => row.average(|run| run.get(Quantity::EvalAccuracy)),
        false => row.average(|run| run.get(Quantity::EvalLoss).map(|loss| -loss)),
    };
    let told =
        |value: f64| if accuracies { percent(value) } else { format!("loss {}", Unit::Plain.text(-value)) };
    let Some((usual, reached)) = baseline.average(time).zip(value(baseline)) else { return text };
    // One standard error of the baseline's mean.
    let error = reached.deviation.unwrap_or(0.0) / (baseline.runs.len().max(1) as f64).sqrt();
    let (usual, reached) = (usual.mean, reached.mean);
    let others = comparison.result.rows.iter().filter(|row| row.name != baseline.name);
    let as_good = others.filter_map(|row| {
        let (time, value) = (row.average(time)?.mean, value(row)?.mean);
        (value >= reached - error).then_some((row, time, value))
    });
    match as_good.min_by(|one, other| one.1.total_cmp(&other.1)) {
        Some((row, time, value)) => {
            text += &format!(
                " As good as {} ({}, within one standard error) and fastest: {}, with {} in {} of the time.",
                baseline.label(),
                told(reached),
                row.label(),
                told(value),
                percent(time / usual)
            );
        }
        None => {
            text += &format!(
                " No other way is within one standard error of {} ({}).",
                baseline.label(),
                told(reached)
            );
        }
    }
    text
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
    add("fewest FLOPs", extreme(operations, false), |value| Unit::Plain.text(value));
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
        notes.push(format!("{unfinished} runs have not ended; their numbers are those so far."));
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
