//! Evaluations during the runs, against the time at which they were.

use serde_json::json;

use super::accuracy::{Score, list, rows_height, sentence};
use super::figure::{Figure, short};
use crate::records::{ComparisonRow, EvalRecord, Quantity};
use crate::report::read::{ComparisonData, Curve};
use crate::report::svg::{Axis, Picture, Plot, Rectangle, Scale, Size, Unit, attribute, coordinate};

/// Draws the picture; `None` when no run was evaluated more than once.
pub(crate) fn curves(comparison: &ComparisonData) -> Option<Figure> {
    comparison.curves.iter().find(|curve| curve.evaluations.len() > 1)?;
    let all = || comparison.curves.iter().flat_map(|curve| &curve.evaluations);
    let accuracies = all().any(|line| line.evaluation.accuracy.is_some());
    let score = if accuracies {
        Score { name: "accuracy", unit: Unit::Percent, less: false, of: Quantity::EvalAccuracy }
    } else {
        Score { name: "loss", unit: Unit::Plain, less: true, of: Quantity::EvalLoss }
    };
    let value = move |line: &EvalRecord| match accuracies {
        true => line.evaluation.accuracy,
        false => Some(line.evaluation.loss).filter(|loss| loss.is_finite()),
    };
    let series: Vec<_> = comparison
        .curves
        .iter()
        .map(|curve| {
            let (x, y): (Vec<_>, Vec<_>) =
                points(&curve.evaluations, &value).map(|(x, y)| (short(x), short(y))).unzip();
            json!({"n": name(comparison, curve), "k": curve.row, "x": x, "y": y})
        })
        .collect();
    let chart = json!({"mode": "nearest", "xunit": "seconds", "unit": score.unit.name(), "series": series});
    let title = format!("{} while training", sentence(score.name));
    let caption =
        "Every evaluation of every run on the examples for evaluation, at the wall time at which it was."
            .to_owned();
    let charts = vec![("curves".to_owned(), chart)];
    Some(Figure::draw("curves", title, caption, charts, |size| picture(comparison, score, &value, size)))
}

/// Returns the name of a run: its row, and its seed where that is known.
fn name(comparison: &ComparisonData, curve: &Curve) -> String {
    let row = comparison.result.rows.get(curve.row).map_or("", ComparisonRow::label);
    let seed = curve.seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
    format!("{row}{seed}")
}

fn points(
    evaluations: &[EvalRecord],
    value: &impl Fn(&EvalRecord) -> Option<f64>,
) -> impl Iterator<Item = (f64, f64)> {
    let timed = evaluations.iter().filter(|line| line.wall_seconds.is_finite());
    timed.filter_map(|line| Some((line.wall_seconds, value(line)?)))
}

fn picture(
    comparison: &ComparisonData,
    score: Score,
    value: &impl Fn(&EvalRecord) -> Option<f64>,
    size: Size,
) -> Picture {
    let at = Rectangle::usual(size, 28.0, size.of(320.0, 270.0));
    let height = at.bottom() + 54.0 + rows_height(comparison, size);
    let what = format!("{} over wall time, a line a run.", sentence(score.name));
    let mut picture = Picture::new("curves", size, height, "Evaluations over wall time", what);
    let all: Vec<(f64, f64)> =
        comparison.curves.iter().flat_map(|curve| points(&curve.evaluations, value)).collect();
    let across =
        Axis::new(Scale::linear(all.iter().map(|point| point.0), true), Unit::Count, "wall time in seconds");
    let values = all.iter().map(|point| point.1);
    let scale =
        if score.less { Scale::sensible(values) } else { score.limited(Scale::linear(values, false)) };
    let up = Axis::new(scale, score.unit, score.name);
    let plot = Plot::new(&mut picture, size, at, (&across, &up), true);
    plot.touchable(&mut picture, "curves");
    for curve in &comparison.curves {
        // A line of one point cannot be seen.
        let mut few = points(&curve.evaluations, value).take(2);
        if let (Some(point), None) = (few.next(), few.next()) {
            let [x, y] = <[f64; 2]>::from(plot.place(point.0, point.1)).map(coordinate);
            picture.raw(format_args!(
                r#"<circle class="dot f{} one" cx="{x}" cy="{y}" r="4"{}{}/>"#,
                curve.row % 8,
                attribute("data-k", curve.row),
                attribute("data-s", name(comparison, curve))
            ));
            continue;
        }
        let path = plot.path(points(&curve.evaluations, value));
        picture.raw(format_args!(
            r#"<path class="s k{} one"{}{} d="{path}"/>"#,
            curve.row % 8,
            attribute("data-k", curve.row),
            attribute("data-s", name(comparison, curve))
        ));
    }
    list(&mut picture, comparison, size, at.bottom() + 52.0, |index, _| {
        let own = comparison.curves.iter().filter(|curve| curve.row == index);
        let best = own.flat_map(|curve| curve.evaluations.iter().filter_map(value));
        let best = best.fold(None, |best: Option<f64>, value| match best {
            Some(best) => Some(if score.less { best.min(value) } else { best.max(value) }),
            None => Some(value),
        });
        best.map_or_else(
            || "not evaluated while training".to_owned(),
            |best| format!("best {}", score.unit.text(best)),
        )
    });
    picture
}
