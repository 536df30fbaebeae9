//! The two ways to save: fewer steps, and cheaper ones.

use super::accuracy::{list, number, rows_height};
use super::figure::Figure;
use crate::records::{ComparisonRow, Numbers, Quantity};
use crate::report::read::ComparisonData;
use crate::report::svg::{Axis, Picture, Plot, Rectangle, Scale, Size, Unit, attribute, percent};

/// Returns steps, and training time of a step, both as shares of the baseline's.
fn shares(row: &ComparisonRow, baseline: &ComparisonRow) -> Option<(f64, f64)> {
    let of = |row: &ComparisonRow| {
        let steps = row.average(|run| run.get(Quantity::Steps))?.mean;
        let time = |run: &Numbers| {
            let steps = run.get(Quantity::Steps).filter(|steps| *steps > 0.0)?;
            Some(run.get(Quantity::TrainSeconds)? / steps)
        };
        Some((steps, row.average(time)?.mean))
    };
    let ((steps, time), (all, usual)) = (of(row)?, of(baseline)?);
    (all > 0.0 && usual > 0.0).then(|| (steps / all, time / usual))
}

/// Draws the picture; `None` when there is nothing to compare.
pub(crate) fn savings(comparison: &ComparisonData) -> Option<Figure> {
    let baseline = comparison.baseline()?;
    shares(baseline, baseline)?;
    let caption = format!(
        "Against {}: how many of its steps were run, and what a step cost. The dotted lines join points of the same \
         training time.",
        baseline.label()
    );
    let title = "Fewer steps, and cheaper ones";
    Some(Figure::draw("savings", title, caption, Vec::new(), |size| picture(comparison, baseline, size)))
}

fn picture(comparison: &ComparisonData, baseline: &ComparisonRow, size: Size) -> Picture {
    let at = Rectangle::usual(size, 28.0, size.of(320.0, 270.0));
    let height = at.bottom() + 54.0 + rows_height(comparison, size);
    let points: Vec<Option<(f64, f64)>> =
        comparison.result.rows.iter().map(|row| shares(row, baseline)).collect();
    let what = "Share of the baseline's steps across, share of its time for a step upwards.".to_owned();
    let mut picture = Picture::new("savings", size, height, "Fewer steps, and cheaper ones", what);
    let found = || points.iter().flatten();
    let across = Axis::new(largest(found().map(|point| point.0)), Unit::Percent, "steps run");
    let up = Axis::new(largest(found().map(|point| point.1)), Unit::Percent, "time of a step");
    let plot = Plot::new(&mut picture, size, at, (&across, &up), true);
    let ((_, right), (_, high)) = (plot.x.domain(), plot.y.domain());
    for product in [0.25, 0.5, 0.75, 1.0] {
        let line = (0..=60).map(|place| {
            let x = product / high + (right - product / high) * f64::from(place) / 60.0;
            (x, product / x)
        });
        let path = plot.path(line);
        picture.raw(format_args!(r#"<path class="iso" d="{path}"/>"#));
        let (x, y) = plot.place(right, product / right);
        picture.text("xs mu end", (x - 2.0, y - 4.0), &format!("{} of the time", percent(product)));
    }
    for (index, point) in points.iter().enumerate() {
        let Some((x, y)) = point else { continue };
        picture.raw(format_args!("<g class=\"one\"{}>", attribute("data-k", index)));
        number(&mut picture, index, plot.place(*x, *y));
        picture.raw("</g>");
    }
    list(&mut picture, comparison, size, at.bottom() + 52.0, |_, row| match shares(row, baseline) {
        Some((steps, time)) => format!("{} of the steps, each {} of the time", percent(steps), percent(time)),
        None => "not measured".to_owned(),
    });
    picture
}

/// Creates a scale from 0 to a little more than the largest share.
fn largest(shares: impl Iterator<Item = f64>) -> Scale {
    Scale::exact(0.0, 1.25 * shares.fold(1.0, f64::max))
}
