//! Where the time of each way to train went.

use super::figure::Figure;
use super::legend::width_of;
use crate::records::{ComparisonRow, Quantity};
use crate::report::read::ComparisonData;
use crate::report::svg::{Picture, Rectangle, Scale, Size, attribute, coordinate, escape, long_seconds};

/// The parts of a run's time, with the class of each one's colour.
const PARTS: [(&str, &str); 4] =
    [("training", "train"), ("evaluation", "eval"), ("monitoring", "watch"), ("other", "rest")];

/// Draws the picture; `None` when no time was measured.
pub(crate) fn time_bars(comparison: &ComparisonData) -> Option<Figure> {
    comparison.result.rows.iter().find_map(parts)?;
    let seeds = if comparison.has_spread() { "Mean over the seeds. " } else { "" };
    let caption = format!("{seeds}Other is the rest of the wall time: loading, saving, set-up.");
    Some(Figure::draw("time", "Where the time went", caption, Vec::new(), |size| picture(comparison, size)))
}

/// Seconds by part.
fn parts(row: &ComparisonRow) -> Option<[f64; 4]> {
    let mean = |of: Quantity| row.average(|run| run.get(of)).map(|average| average.mean);
    let (train, eval) = (mean(Quantity::TrainSeconds), mean(Quantity::EvalSeconds).unwrap_or(0.0));
    let wall = mean(Quantity::WallSeconds);
    let all = train.or(wall.map(|wall| wall - eval))?;
    // The time of monitoring is part of the steps.
    let shared = row.monitoring.map(|cost| all * cost.percent.max(0.0) / (100.0 + cost.percent.max(0.0)));
    let watch = shared.unwrap_or(0.0).min(all);
    let train = all - watch;
    let rest = wall.map_or(0.0, |wall| (wall - train - eval - watch).max(0.0));
    Some([train, eval, watch, rest])
}

fn picture(comparison: &ComparisonData, size: Size) -> Picture {
    let row_height = 46.0;
    let top = 34.0;
    let height = top + row_height * comparison.result.rows.len() as f64 + 8.0;
    let totals: Vec<(usize, &ComparisonRow, [f64; 4])> = comparison
        .result
        .rows
        .iter()
        .enumerate()
        .filter_map(|(index, row)| Some((index, row, parts(row)?)))
        .collect();
    let what: Vec<String> = totals
        .iter()
        .map(|(_, row, parts)| format!("{}: {}", row.label(), long_seconds(parts.iter().sum())))
        .collect();
    let mut picture = Picture::new("time", size, height, "Where the time of each way went", what.join("; "));
    let mut x = size.of(16.0, 8.0);
    for (part, (name, class)) in PARTS.iter().enumerate() {
        if totals.iter().all(|(_, _, parts)| parts[part] == 0.0) {
            continue;
        }
        picture.rect(class, (x, 4.0), (12.0, 12.0), "");
        picture.text("sm", (x + 17.0, 14.0), name);
        x += 17.0 + width_of(name) + 12.0;
    }
    let left = size.of(16.0, 8.0);
    let at = Rectangle { left, top, width: size.width() - left - size.of(110.0, 84.0), height };
    let scale = Scale::exact(0.0, totals.iter().map(|(_, _, parts)| parts.iter().sum()).fold(1e-9, f64::max));
    let scale = scale.onto(at.left, at.right());
    for (place, (index, row, parts)) in totals.iter().enumerate() {
        let y = top + row_height * place as f64;
        picture.raw(format_args!("<g class=\"one\"{}>", attribute("data-k", index)));
        picture.text("b", (left, y + 12.0), row.label());
        let mut from = 0.0;
        for ((name, class), seconds) in PARTS.iter().zip(parts) {
            let (x1, x2) = (scale.place(from), scale.place(from + seconds));
            from += seconds;
            if x2 - x1 < 0.05 {
                continue;
            }
            let words = format!("{}: {} of {name}", row.label(), long_seconds(*seconds));
            picture.raw(format_args!(
                r#"<rect class="{class}" x="{}" y="{}" width="{}" height="16"{}><title>{}</title></rect>"#,
                coordinate(x1),
                coordinate(y + 18.0),
                coordinate(x2 - x1),
                attribute("data-tip", &words),
                escape(&words)
            ));
        }
        picture.text("sm mu", (scale.place(from) + 8.0, y + 30.0), &long_seconds(from));
        picture.raw("</g>");
    }
    picture
}
