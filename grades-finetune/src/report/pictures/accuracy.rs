//! The score of each way to train, against its time.

use super::figure::Figure;
use super::legend::width_of;
use crate::records::{Average, ComparisonRow, Quantity};
use crate::report::read::{ComparisonData, time};
use crate::report::svg::{
    Axis, Picture, Plot, Rectangle, Scale, Size, Unit, attribute, coordinate, escape, long_seconds,
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
    let caption = format!("{marks} Further left is faster, {better} is better.{counted}");
    let title = format!("{} against time", sentence(score.name));
    Some(Figure::draw("accuracy", title, caption, Vec::new(), |size| picture(comparison, score, size)))
}

pub(super) fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

fn picture(comparison: &ComparisonData, score: Score, size: Size) -> Picture {
    let at = Rectangle::usual(size, 28.0, size.of(340.0, 280.0));
    let rows = rows_height(comparison, size);
    let what: Vec<String> = comparison
        .result
        .rows
        .iter()
        .filter_map(|row| {
            let (time, value) = (row.average(time)?, score.average(row)?);
            Some(format!("{}: {} in {}", row.label(), score.unit.text(value.mean), long_seconds(time.mean)))
        })
        .collect();
    let height = at.bottom() + 54.0 + rows;
    let mut picture =
        Picture::new("accuracy", size, height, "What each way reached, against time", what.join("; "));
    let runs = || comparison.result.rows.iter().flat_map(|row| &row.runs);
    let across = Axis::new(
        Scale::linear(runs().filter_map(|run| time(&run.numbers)), true),
        Unit::Count,
        "time in seconds",
    );
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
    for (index, row) in comparison.result.rows.iter().enumerate() {
        let group = index % 8;
        picture.raw(format_args!("<g class=\"one\"{}>", attribute("data-k", index)));
        for run in &row.runs {
            let Some((x, y)) = time(&run.numbers).zip(run.numbers.get(score.of)) else { continue };
            let seed = run.seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
            let words = format!("{}{seed}: {} in {}", row.label(), score.unit.text(y), long_seconds(x));
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
        let Some((time, value)) = row.average(time).zip(score.average(row)) else { continue };
        picture.raw(format_args!("<g class=\"one\"{}>", attribute("data-k", index)));
        mean(&mut picture, &plot, index, (time, value));
        picture.raw("</g>");
    }
    list(&mut picture, comparison, size, at.bottom() + 52.0, |_, row| {
        let value = score.average(row).map(|average| with_spread(average, score.unit));
        let time = row.average(time).map(|average| long_seconds(average.mean));
        [value, time].into_iter().flatten().collect::<Vec<_>>().join(", ")
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
