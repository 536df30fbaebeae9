//! Evaluations during the runs, against the time at which they were.

use serde_json::json;

use super::accuracy::{Score, list, rows_height, sentence};
use super::{Figure, short};
use crate::report::read::{Comparison, EvaluationLine};
use crate::report::svg::{Axis, Picture, Plot, Rectangle, Scale, Size, Unit, attribute};

/// The picture; `None` when no run was evaluated more than once.
pub(crate) fn curves(comparison: &Comparison) -> Option<Figure> {
    let runs = || comparison.rows.iter().flat_map(|row| &row.runs);
    runs().find(|run| run.evaluations.len() > 1)?;
    let accuracies = runs().any(|run| run.evaluations.iter().any(|line| line.accuracy.is_some()));
    let score = if accuracies {
        Score { name: "accuracy", unit: Unit::Percent, less: false, of: |run| run.eval_accuracy }
    } else {
        Score { name: "loss", unit: Unit::Plain, less: true, of: |run| run.eval_loss }
    };
    let value = move |line: &EvaluationLine| if accuracies { line.accuracy } else { line.loss };
    let series: Vec<_> = comparison
        .rows
        .iter()
        .enumerate()
        .flat_map(|(index, row)| row.runs.iter().map(move |run| (index, row, run)))
        .map(|(index, row, run)| {
            let seed = run.seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
            let (x, y): (Vec<_>, Vec<_>) =
                points(&run.evaluations, &value).map(|(x, y)| (short(x), short(y))).unzip();
            json!({"n": format!("{}{seed}", row.label()), "k": index, "x": x, "y": y})
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

fn points(
    evaluations: &[EvaluationLine],
    value: &impl Fn(&EvaluationLine) -> Option<f64>,
) -> impl Iterator<Item = (f64, f64)> {
    evaluations.iter().filter_map(|line| line.wall_seconds.zip(value(line)))
}

fn picture(
    comparison: &Comparison,
    score: Score,
    value: &impl Fn(&EvaluationLine) -> Option<f64>,
    size: Size,
) -> Picture {
    let at = Rectangle::usual(size, 28.0, size.of(320.0, 270.0));
    let height = at.bottom() + 54.0 + rows_height(comparison, size);
    let what = format!("{} over wall time, a line a run.", sentence(score.name));
    let mut picture = Picture::new("curves", size, height, "Evaluations over wall time", what);
    let all: Vec<(f64, f64)> = comparison
        .rows
        .iter()
        .flat_map(|row| &row.runs)
        .flat_map(|run| points(&run.evaluations, value))
        .collect();
    let across =
        Axis::new(Scale::linear(all.iter().map(|point| point.0), true), Unit::Count, "wall time in seconds");
    let values = all.iter().map(|point| point.1);
    let scale = if score.less { Scale::sensible(values) } else { Scale::linear(values, false) };
    let up = Axis::new(scale, score.unit, score.name);
    let plot = Plot::new(&mut picture, size, at, (&across, &up), true);
    plot.touchable(&mut picture, "curves");
    for (index, row) in comparison.rows.iter().enumerate() {
        for run in &row.runs {
            let path = plot.path(points(&run.evaluations, value));
            let seed = run.seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
            picture.raw(format_args!(
                r#"<path class="s k{} one"{}{} d="{path}"/>"#,
                index % 8,
                attribute("data-k", index),
                attribute("data-s", format!("{}{seed}", row.label()))
            ));
        }
    }
    list(&mut picture, comparison, size, at.bottom() + 52.0, |row| {
        let best = row.runs.iter().flat_map(|run| run.evaluations.iter().filter_map(value));
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
