//! The score of each way to train, against its time and its FLOPs.

use super::figure::Figure;
use super::legend::width_of;
use crate::records::{Average, ComparisonRow, Numbers, Quantity};
use crate::report::read::{ComparisonData, operations, time};
use crate::report::svg::{
    Axis, Picture, Plot, Rectangle, Scale, Size, Unit, attribute, coordinate, escape, long_seconds, percent,
};

/// A score by which ways are compared.
#[derive(Clone, Copy)]
pub(super) struct Score {
    /// Its name.
    pub(super) name: &'static str,
    /// Its unit.
    pub(super) unit: Unit,
    /// True where less is better.
    pub(super) less: bool,
    /// The quantity.
    pub(super) of: Quantity,
}

impl Score {
    /// Limits a scale to the values that the score can have.
    pub(super) fn limited(self, scale: Scale) -> Scale {
        if self.unit == Unit::Percent { scale.within(0.0, 1.0) } else { scale }
    }

    /// Returns its mean over a row's runs.
    fn average(self, row: &ComparisonRow) -> Option<Average> {
        row.average(|run| run.get(self.of))
    }
}

/// The cost of a way to train.
#[derive(Clone, Copy)]
enum Cost {
    /// Seconds.
    Time,
    /// FLOPs, in shares of this number: what the baseline costs.
    Flops(f64),
}

impl Cost {
    /// Returns the cost of a run.
    fn of(self, numbers: &Numbers) -> Option<f64> {
        match self {
            Self::Time => time(numbers),
            Self::Flops(baseline) => operations(numbers).map(|flops| flops / baseline),
        }
    }

    fn text(self, cost: f64) -> String {
        match self {
            Self::Time => long_seconds(cost),
            Self::Flops(_) => format!("{} of the FLOPs", percent(cost)),
        }
    }

    /// Returns the words for a figure: its name, what the score is drawn against, and the axis.
    fn words(self) -> (&'static str, &'static str, Axis) {
        let axis = |unit, label| Axis::new(Scale::exact(0.0, 1.0), unit, label);
        match self {
            Self::Time => ("accuracy", "time", axis(Unit::Count, "time in seconds")),
            Self::Flops(_) => {
                ("frontier", "FLOPs", axis(Unit::Percent, "FLOPs, in shares of the baseline's"))
            }
        }
    }
}

/// The rows that merely train for fewer steps, and the one that trains for all.
const SHORTER: [&str; 6] =
    ["full", "full-quarter", "full-third", "full-half", "full-two-thirds", "full-four-fifths"];

/// Returns cost and score of training for shares of the steps, by cost: what every other way must beat. Empty where fewer than
/// three shares were run.
fn frontier(comparison: &ComparisonData, score: Score, cost: Cost) -> Vec<(f64, f64)> {
    let rows = comparison.result.rows.iter().filter(|row| SHORTER.contains(&row.name.as_str()));
    let point = |row: &ComparisonRow| Some((row.average(|run| cost.of(run))?.mean, score.average(row)?.mean));
    let mut points: Vec<(f64, f64)> = rows.filter_map(point).collect();
    points.sort_by(|one, other| one.0.total_cmp(&other.0));
    if points.len() < 3 { Vec::new() } else { points }
}

/// Draws the score against FLOPs; `None` unless three shares of the steps were run, whose line is what others must beat.
pub(crate) fn accuracy_over_flops(comparison: &ComparisonData) -> Option<Figure> {
    let score = score(comparison)?;
    let baseline = comparison.baseline()?.average(operations)?.mean;
    let cost = Cost::Flops(baseline);
    if baseline <= 0.0 || frontier(comparison, score, cost).is_empty() {
        return None;
    }
    let caption = "The dotted line joins the ways that merely train for fewer steps, each with its own decay: a way below it, \
                   beyond its bar, costs more than it is worth.";
    let title = format!("{} against FLOPs", sentence(score.name));
    let draw = |size| picture(comparison, score, cost, size);
    Some(Figure::draw("frontier", title, caption.to_owned(), Vec::new(), draw))
}

/// Returns the score by which the rows are compared: that on the examples for evaluation, else the test's.
pub(super) fn score(comparison: &ComparisonData) -> Option<Score> {
    let scores = [
        Score { name: "accuracy (evaluation)", unit: Unit::Percent, less: false, of: Quantity::EvalAccuracy },
        Score { name: "accuracy (test)", unit: Unit::Percent, less: false, of: Quantity::TestAccuracy },
        Score { name: "loss (evaluation)", unit: Unit::Plain, less: true, of: Quantity::EvalLoss },
        Score { name: "loss (test)", unit: Unit::Plain, less: true, of: Quantity::TestLoss },
    ];
    scores.into_iter().find(|score| comparison.result.rows.iter().any(|row| score.average(row).is_some()))
}

/// Draws the picture; `None` when nothing was evaluated.
pub(crate) fn accuracy_over_time(comparison: &ComparisonData) -> Option<Figure> {
    let score = score(comparison)?;
    let better = if score.less { "lower" } else { "higher" };
    let apart =
        comparison.result.rows.iter().any(|row| row.average(|run| run.get(Quantity::CostSeconds)).is_some());
    let counted = if apart { " Evaluations that only show how a run goes are not counted." } else { "" };
    let marks = match comparison.has_spread() {
        true => {
            "Small dots are runs with one seed each, numbered discs their means, bars one standard deviation to each side."
        }
        false => "Numbered discs are runs with one seed, so nothing is known of their spread.",
    };
    let line = match frontier(comparison, score, Cost::Time).is_empty() {
        true => "",
        false => " The dotted line joins the ways that merely train for fewer steps.",
    };
    let caption = format!("{marks} Further left is faster, {better} is better.{line}{counted}");
    let title = format!("{} against time", sentence(score.name));
    let draw = |size| picture(comparison, score, Cost::Time, size);
    Some(Figure::draw("accuracy", title, caption, Vec::new(), draw))
}

pub(super) fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

fn picture(comparison: &ComparisonData, score: Score, cost: Cost, size: Size) -> Picture {
    let (name, against, axis) = cost.words();
    let at = Rectangle::usual(size, 28.0, size.of(340.0, 280.0));
    let rows = rows_height(comparison, size);
    let what: Vec<String> = comparison
        .result
        .rows
        .iter()
        .filter_map(|row| {
            let (spent, value) = (row.average(|run| cost.of(run))?, score.average(row)?);
            Some(format!("{}: {} in {}", row.label(), score.unit.text(value.mean), cost.text(spent.mean)))
        })
        .collect();
    let height = at.bottom() + 54.0 + rows;
    let mut picture = Picture::new(
        name,
        size,
        height,
        &format!("What each way reached, against {against}"),
        what.join("; "),
    );
    let runs = || comparison.result.rows.iter().flat_map(|row| &row.runs);
    let costs = runs().filter_map(|run| cost.of(&run.numbers));
    let across = Axis { scale: Scale::linear(costs, true), ..axis };
    let values = runs().filter_map(|run| run.numbers.get(score.of)).collect::<Vec<_>>();
    let spread = comparison.result.rows.iter().filter_map(|row| score.average(row)).flat_map(ends);
    let scale = score.limited(Scale::linear(values.iter().copied().chain(spread), false));
    let up = Axis::new(scale, score.unit, score.name);
    let plot = Plot::new(&mut picture, size, at, (&across, &up), true);
    if let Some(target) = comparison
        .result
        .target
        .as_ref()
        .filter(|target| score.name == format!("{} (evaluation)", target.metric.name()))
    {
        let y = plot.y.place(target.value);
        picture.line("lim", (at.left, y), (at.right(), y));
        // Above the line, unless the axis' label is there.
        let label = if y < at.top + 14.0 { y + 14.0 } else { y - 5.0 };
        picture.text("limt", (at.left + 4.0, label), &format!("target {}", score.unit.text(target.value)));
    }
    let shorter = frontier(comparison, score, cost);
    if !shorter.is_empty() {
        let path = plot.path(shorter.into_iter());
        picture.raw(format_args!(r#"<path class="iso" d="{path}"/>"#));
    }
    for (index, row) in comparison.result.rows.iter().enumerate() {
        let group = index % 8;
        picture.raw(format_args!("<g class=\"one\"{}>", attribute("data-k", index)));
        for run in &row.runs {
            let Some((x, y)) = cost.of(&run.numbers).zip(run.numbers.get(score.of)) else { continue };
            let seed = run.seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
            let words = format!("{}{seed}: {} in {}", row.label(), score.unit.text(y), cost.text(x));
            let (x, y) = plot.place(x, y);
            picture.raw(format_args!(
                r#"<circle class="dot f{group}" cx="{}" cy="{}" r="4"{}><title>{}</title></circle>"#,
                coordinate(x),
                coordinate(y),
                attribute("data-tip", &words),
                escape(&words)
            ));
        }
        picture.raw("</g>");
    }
    // The means go last, so that no seed covers one.
    for (index, row) in comparison.result.rows.iter().enumerate() {
        let Some((spent, value)) = row.average(|run| cost.of(run)).zip(score.average(row)) else { continue };
        picture.raw(format_args!("<g class=\"one\"{}>", attribute("data-k", index)));
        mean(&mut picture, &plot, index, (spent, value));
        picture.raw("</g>");
    }
    list(&mut picture, comparison, size, at.bottom() + 52.0, |_, row| {
        let value = score.average(row).map(|average| with_spread(average, score.unit));
        let spent = row.average(|run| cost.of(run)).map(|average| cost.text(average.mean));
        [value, spent].into_iter().flatten().collect::<Vec<_>>().join(", ")
    });
    picture
}

/// Writes a mean with its standard deviation where there are several runs.
fn with_spread(average: Average, unit: Unit) -> String {
    match average.deviation {
        Some(deviation) => format!("{} ± {}", unit.text(average.mean), unit.text(deviation)),
        None => unit.text(average.mean),
    }
}

/// Returns one standard deviation to each side.
fn ends(average: Average) -> [f64; 2] {
    let deviation = average.deviation.unwrap_or(0.0);
    [average.mean - deviation, average.mean + deviation]
}

/// Draws a disc with the row's number, and a bar of one standard deviation to each side.
fn mean(picture: &mut Picture, plot: &Plot, index: usize, (time, value): (Average, Average)) {
    let group = index % 8;
    let (x, y) = plot.place(time.mean, value.mean);
    let across = ends(time).map(|end| plot.x.place(end));
    let up = ends(value).map(|end| plot.y.place(end));
    picture.line(&format!("tick k{group}"), (across[0], y), (across[1], y));
    picture.line(&format!("tick k{group}"), (x, up[0]), (x, up[1]));
    number(picture, index, (x, y));
}

/// Draws a disc with a row's number.
pub(super) fn number(picture: &mut Picture, index: usize, (x, y): (f64, f64)) {
    let [cx, cy] = [x, y].map(coordinate);
    picture.raw(format_args!(r#"<circle class="dot f{}" cx="{cx}" cy="{cy}" r="9"/>"#, index % 8));
    picture.text("sm b mid deep", (x, y + 4.0), &(index + 1).to_string());
}

/// Returns the height of the list of rows.
pub(super) fn rows_height(comparison: &ComparisonData, size: Size) -> f64 {
    comparison.result.rows.len() as f64 * size.of(24.0, 38.0)
}

/// Lists the rows with their numbers, and something about each.
pub(super) fn list(
    picture: &mut Picture,
    comparison: &ComparisonData,
    size: Size,
    top: f64,
    about: impl Fn(usize, &ComparisonRow) -> String,
) {
    let left = size.of(66.0, 14.0);
    let longest = comparison.result.rows.iter().map(|row| width_of(row.label())).fold(0.0, f64::max);
    for (index, row) in comparison.result.rows.iter().enumerate() {
        let y = top + index as f64 * size.of(24.0, 38.0) + 10.0;
        picture.raw(format_args!("<g{}>", attribute("data-k", index)));
        number(picture, index, (left + 9.0, y));
        picture.text("b", (left + 28.0, y + 4.0), row.label());
        let place = size.of((left + 44.0 + longest * 1.08, y + 4.0), (left + 28.0, y + 20.0));
        picture.text("mu", place, &about(index, row));
        picture.raw("</g>");
    }
}
