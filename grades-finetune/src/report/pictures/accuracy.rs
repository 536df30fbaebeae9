//! What each way to train reached, against the time that it took.

use super::Figure;
use super::legend::width_of;
use crate::report::read::{Comparison, ComparisonRow, Measured};
use crate::report::svg::{
    Axis, Picture, Plot, Rectangle, Scale, Size, Unit, attribute, coordinate, escape, long_seconds,
};

/// What is compared: the first of these that was measured.
#[derive(Clone, Copy)]
pub(super) struct Score {
    /// Its name.
    pub(super) name: &'static str,
    /// How it is written.
    pub(super) unit: Unit,
    /// Whether less is better.
    pub(super) less: bool,
    /// Where it stands.
    pub(super) of: fn(&Measured) -> Option<f64>,
}

/// The score by which the rows are compared: that on the examples for evaluation, else the test's.
pub(super) fn score(comparison: &Comparison) -> Option<Score> {
    let scores = [
        Score {
            name: "accuracy (evaluation)",
            unit: Unit::Percent,
            less: false,
            of: |run| run.eval_accuracy,
        },
        Score { name: "accuracy (test)", unit: Unit::Percent, less: false, of: |run| run.test_accuracy },
        Score { name: "loss (evaluation)", unit: Unit::Plain, less: true, of: |run| run.eval_loss },
        Score { name: "loss (test)", unit: Unit::Plain, less: true, of: |run| run.test_loss },
    ];
    scores.into_iter().find(|score| comparison.rows.iter().any(|row| row.mean(score.of).is_some()))
}

/// The picture; `None` when nothing was evaluated.
pub(crate) fn accuracy_over_time(comparison: &Comparison) -> Option<Figure> {
    let score = score(comparison)?;
    let better = if score.less { "lower" } else { "higher" };
    let apart = comparison.rows.iter().any(|row| row.mean(|run| run.cost_seconds).is_some());
    let counted = if apart { " Evaluations that only show how a run goes are not counted." } else { "" };
    let caption = format!(
        "Small dots are runs with one seed each, numbered discs their means, bars one standard deviation to each side. \
         Further left is faster, {better} is better.{counted}"
    );
    let title = format!("{} against time", sentence(score.name));
    Some(Figure::draw("accuracy", title, caption, Vec::new(), |size| picture(comparison, score, size)))
}

pub(super) fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

fn picture(comparison: &Comparison, score: Score, size: Size) -> Picture {
    let at = Rectangle::usual(size, 28.0, size.of(340.0, 280.0));
    let rows = rows_height(comparison, size);
    let what: Vec<String> = comparison
        .rows
        .iter()
        .filter_map(|row| {
            let (time, value) = (row.mean(Measured::time)?, row.mean(score.of)?);
            Some(format!("{}: {} in {}", row.label(), score.unit.text(value.0), long_seconds(time.0)))
        })
        .collect();
    let height = at.bottom() + 54.0 + rows;
    let mut picture =
        Picture::new("accuracy", size, height, "What each way reached, against time", what.join("; "));
    let runs = || comparison.rows.iter().flat_map(|row| &row.runs);
    let across = Axis::new(
        Scale::linear(runs().filter_map(|run| run.measured.time()), true),
        Unit::Count,
        "time in seconds",
    );
    let values = runs().filter_map(|run| (score.of)(&run.measured)).collect::<Vec<_>>();
    let spread = comparison
        .rows
        .iter()
        .filter_map(|row| row.mean(score.of))
        .flat_map(|(mean, sd)| [mean - sd, mean + sd]);
    let up = Axis::new(Scale::linear(values.iter().copied().chain(spread), false), score.unit, score.name);
    let plot = Plot::new(&mut picture, size, at, (&across, &up), true);
    if let Some(target) =
        comparison.target.as_ref().filter(|target| score.name == format!("{} (evaluation)", target.metric))
    {
        let y = plot.y.place(target.value);
        picture.line("lim", (at.left, y), (at.right(), y));
        picture.text("limt", (at.left + 4.0, y - 5.0), &format!("target {}", score.unit.text(target.value)));
    }
    for (index, row) in comparison.rows.iter().enumerate() {
        let role = index % 8;
        picture.raw(format_args!("<g class=\"one\"{}>", attribute("data-k", index)));
        for run in &row.runs {
            let Some((x, y)) = run.measured.time().zip((score.of)(&run.measured)) else { continue };
            let seed = run.seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
            let words = format!("{}{seed}: {} in {}", row.label(), score.unit.text(y), long_seconds(x));
            let (x, y) = plot.place(x, y);
            picture.raw(format_args!(
                r#"<circle class="dot f{role}" cx="{}" cy="{}" r="4"{}><title>{}</title></circle>"#,
                coordinate(x),
                coordinate(y),
                attribute("data-tip", &words),
                escape(&words)
            ));
        }
        picture.raw("</g>");
    }
    // The means go last, so that no seed covers one.
    for (index, row) in comparison.rows.iter().enumerate() {
        let Some((time, value)) = row.mean(Measured::time).zip(row.mean(score.of)) else { continue };
        picture.raw(format_args!("<g class=\"one\"{}>", attribute("data-k", index)));
        mean(&mut picture, &plot, index, (time, value));
        picture.raw("</g>");
    }
    list(&mut picture, comparison, size, at.bottom() + 52.0, |row| {
        let value = row.mean(score.of).map(|(mean, sd)| with_spread(mean, sd, row.runs.len(), score.unit));
        let time = row.mean(Measured::time).map(|(mean, _)| long_seconds(mean));
        [value, time].into_iter().flatten().collect::<Vec<_>>().join(", ")
    });
    picture
}

/// A mean with its standard deviation where there are several runs.
pub(super) fn with_spread(mean: f64, spread: f64, runs: usize, unit: Unit) -> String {
    if runs < 2 { unit.text(mean) } else { format!("{} ± {}", unit.text(mean), unit.text(spread)) }
}

/// A disc with the row's number, and a bar of one standard deviation to each side.
fn mean(picture: &mut Picture, plot: &Plot, index: usize, (time, value): ((f64, f64), (f64, f64))) {
    let role = index % 8;
    let (x, y) = plot.place(time.0, value.0);
    let across = [plot.x.place(time.0 - time.1), plot.x.place(time.0 + time.1)];
    let up = [plot.y.place(value.0 - value.1), plot.y.place(value.0 + value.1)];
    picture.line(&format!("tick k{role}"), (across[0], y), (across[1], y));
    picture.line(&format!("tick k{role}"), (x, up[0]), (x, up[1]));
    number(picture, index, (x, y));
}

/// A disc with a row's number.
pub(super) fn number(picture: &mut Picture, index: usize, (x, y): (f64, f64)) {
    let [cx, cy] = [x, y].map(coordinate);
    picture.raw(format_args!(r#"<circle class="dot f{}" cx="{cx}" cy="{cy}" r="9"/>"#, index % 8));
    picture.text("sm b mid deep", (x, y + 4.0), &(index + 1).to_string());
}

/// The height of the list of rows.
pub(super) fn rows_height(comparison: &Comparison, size: Size) -> f64 {
    comparison.rows.len() as f64 * size.of(24.0, 38.0)
}

/// The rows with their numbers, and something about each.
pub(super) fn list(
    picture: &mut Picture,
    comparison: &Comparison,
    size: Size,
    top: f64,
    about: impl Fn(&ComparisonRow) -> String,
) {
    let left = size.of(66.0, 14.0);
    let longest = comparison.rows.iter().map(|row| width_of(row.label())).fold(0.0, f64::max);
    for (index, row) in comparison.rows.iter().enumerate() {
        let y = top + index as f64 * size.of(24.0, 38.0) + 10.0;
        picture.raw(format_args!("<g{}>", attribute("data-k", index)));
        number(picture, index, (left + 9.0, y));
        picture.text("b", (left + 28.0, y + 4.0), row.label());
        let place = size.of((left + 44.0 + longest * 1.08, y + 4.0), (left + 28.0, y + 20.0));
        picture.text("mu", place, &about(row));
        picture.raw("</g>");
    }
}
