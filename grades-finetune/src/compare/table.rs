//! A comparison as Markdown tables.

use std::fmt::Write as _;

use crate::printable::printable;
use crate::records::{Comparison, ComparisonRow, Paired, Quantity, flop_unit};

/// Writes the cell of a row.
type Cell = Box<dyn Fn(&ComparisonRow) -> Option<String>>;

/// A column: its heading, and what a row has in it.
struct Column {
    heading: String,
    cell: Cell,
}

/// Writes the tables of a comparison, to be pasted into a README: the rows, and their differences to the baseline.
pub fn markdown(comparison: &Comparison) -> String {
    let mut text = table(comparison, &columns(comparison));
    let spread = match comparison.seeds.as_slice() {
        [seed] => format!("One seed ({seed}), so no spread."),
        seeds => {
            let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
            format!("Mean ± sample standard deviation over seeds {}.", seeds.join(", "))
        }
    };
    let _ = write!(
        text,
        "\n{spread} Time and FLOPs are those that one would pay for such a run: without evaluations that only the \
         comparison needs; early stopping pays for its own."
    );
    if let Some(target) = comparison.target {
        let (word, value) = (target.metric.name(), format!("{:.4}", target.value));
        let _ = write!(
            text,
            " The last column is the training time until the first evaluation with the {word} on `data.eval` that `{}` ends \
             with in the mean ({value}).",
            comparison.baseline
        );
    }
    text.push('\n');
    for row in &comparison.rows {
        if let Some(cost) = row.monitoring {
            let _ = writeln!(
                text,
                "\nWatching gradients lengthens a step of `{}` by {:.1} % (median of {} paired steps; quartiles {:.1} and {:.1} %).",
                printable(&row.name),
                cost.percent,
                cost.pairs,
                cost.quartiles[0],
                cost.quartiles[1]
            );
        }
    }
    for failure in &comparison.failures {
        let _ = writeln!(
            text,
            "\nMissing: `{}` with seed {}: {}.",
            printable(&failure.row),
            failure.seed,
            printable(&failure.reason)
        );
    }
    let differences = differences(comparison);
    let any = comparison.rows.iter().any(|row| !row.paired.is_empty());
    if any && !differences.is_empty() {
        let _ = write!(
            text,
            "\nDifferences to `{}`, seed by seed: mean ± standard error.\n\n{}",
            comparison.baseline,
            table(comparison, &differences)
        );
    }
    let _ = write!(text, "\nMade by `{}`.\n", printable(&comparison.command));
    text
}

fn table(comparison: &Comparison, columns: &[Column]) -> String {
    let mut text = String::from("| run |");
    for column in columns {
        let _ = write!(text, " {} |", column.heading);
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(columns.len()));
    text.push('\n');
    for row in &comparison.rows {
        let missing = comparison.seeds.len().saturating_sub(row.runs.len());
        let missing = if missing > 0 {
            format!(" ({} of {} runs)", row.runs.len(), comparison.seeds.len())
        } else {
            String::new()
        };
        let _ = write!(text, "| {}{missing} |", printable(&row.label().replace('|', "\\|")));
        for column in columns {
            let _ = write!(text, " {} |", (column.cell)(row).unwrap_or_else(|| "–".to_owned()));
        }
        text.push('\n');
    }
    text
}

/// Returns the columns of the first table; measures that no row has are left out.
fn columns(comparison: &Comparison) -> Vec<Column> {
    let largest =
        comparison.rows.iter().filter_map(|row| row.mean.get(Quantity::CostFlops)).fold(0.0, f64::max);
    let (unit, scale) = flop_unit(largest);
    let mut columns = vec![
        number("steps", Quantity::Steps, 1.0, 0),
        number(
            "time, s",
            Quantity::CostSeconds,
            1.0,
            if largest_of(comparison, Quantity::CostSeconds) < 100.0 { 1 } else { 0 },
        ),
        share("÷ full", |row| row.savings.cost_seconds),
        share("CPU ÷ full", |row| row.savings.train_cpu_seconds),
        share("a step ÷ full", |row| row.savings.seconds_per_step),
        share("steps ÷ full", |row| row.savings.steps),
        number(&format!("{unit}s"), Quantity::CostFlops, scale, 1),
        share("÷ full", |row| row.savings.cost_flops),
        number("peak memory, MiB", Quantity::PeakMemoryBytes, f64::from(1 << 20), 0),
    ];
    for (heading, quantity) in MEASURES {
        if comparison.rows.iter().any(|row| row.runs.iter().any(|run| run.numbers.get(quantity).is_some())) {
            columns.push(number(heading, quantity, 1.0, 4));
        }
    }
    if comparison.target.is_some() {
        let seeds = comparison.seeds.len();
        columns.push(Column {
            heading: format!("s to `{}`'s result", comparison.baseline),
            cell: Box::new(move |row| match (row.reached_target, row.runs.len()) {
                (_, 0) => None,
                (0, _) => Some("not reached".to_owned()),
                (reached, runs) if reached < runs => Some(format!("reached by {reached} of {seeds}")),
                _ => cell(
                    row,
                    Quantity::SecondsToTarget,
                    1.0,
                    if row.mean.get(Quantity::SecondsToTarget)? < 100.0 { 1 } else { 0 },
                ),
            }),
        });
    }
    columns
}

const MEASURES: [(&str, Quantity); 6] = [
    ("dev accuracy", Quantity::EvalAccuracy),
    ("dev loss", Quantity::EvalLoss),
    ("dev exact match", Quantity::EvalExactMatch),
    ("test accuracy", Quantity::TestAccuracy),
    ("test loss", Quantity::TestLoss),
    ("test exact match", Quantity::TestExactMatch),
];

/// Returns the columns of the second table.
fn differences(comparison: &Comparison) -> Vec<Column> {
    const LIST: [(&str, Quantity, usize); 5] = [
        ("dev accuracy", Quantity::EvalAccuracy, 4),
        ("dev loss", Quantity::EvalLoss, 4),
        ("test accuracy", Quantity::TestAccuracy, 4),
        ("test loss", Quantity::TestLoss, 4),
        ("time, s", Quantity::CostSeconds, 1),
    ];
    let list = LIST
        .into_iter()
        .filter(|(_, quantity, _)| comparison.rows.iter().any(|row| row.paired.contains_key(quantity)));
    list.map(|(heading, quantity, digits)| Column {
        heading: heading.to_owned(),
        cell: Box::new(move |row| row.paired.get(&quantity).map(|paired| difference(paired, digits))),
    })
    .collect()
}

fn difference(paired: &Paired, digits: usize) -> String {
    let error = paired.standard_error.map(|error| format!(" ± {error:.digits$}")).unwrap_or_default();
    format!("{:+.digits$}{error}", paired.mean)
}

fn largest_of(comparison: &Comparison, quantity: Quantity) -> f64 {
    comparison.rows.iter().filter_map(|row| row.mean.get(quantity)).fold(0.0, f64::max)
}

fn number(heading: &str, quantity: Quantity, scale: f64, digits: usize) -> Column {
    Column { heading: heading.to_owned(), cell: Box::new(move |row| cell(row, quantity, scale, digits)) }
}

fn cell(row: &ComparisonRow, quantity: Quantity, scale: f64, digits: usize) -> Option<String> {
    let mean = row.mean.get(quantity)? / scale;
    let spread = row.spread.get(quantity).map(|spread| format!(" ± {:.digits$}", spread / scale));
    Some(format!("{mean:.digits$}{}", spread.unwrap_or_default()))
}

fn share(heading: &str, of: fn(&ComparisonRow) -> Option<f64>) -> Column {
    Column {
        heading: heading.to_owned(),
        cell: Box::new(move |row| of(row).map(|share| format!("{share:.2}"))),
    }
}
