//! Share frozen, time of a step, and memory.

use serde_json::{Value, json};

use super::figure::Figure;
use super::loss::means;
use crate::records::StepRecord;
use crate::report::analysis::{Analysis, step_seconds};
use crate::report::svg::{Axis, Bucket, Picture, Plot, Rectangle, Scale, Size, Unit, buckets, long_seconds};

/// The lines of the picture, by steps.
struct Lines {
    frozen: Vec<Bucket>,
    cooling: Vec<Bucket>,
    seconds: Vec<Bucket>,
    process: Vec<Bucket>,
    training: Vec<Bucket>,
}

/// Draws the picture.
pub(crate) fn progress(analysis: &Analysis<'_>) -> Figure {
    let steps = &analysis.run.steps;
    let total = analysis.run.components_total().max(1) as f64;
    let of = |value: &dyn Fn(&StepRecord) -> Option<f64>| {
        let points: Vec<_> =
            steps.iter().map(|line| (line.step as f64, value(line).unwrap_or(f64::NAN))).collect();
        buckets(&points, 400)
    };
    let times: Vec<_> = steps.iter().map(|line| line.step as f64).zip(step_seconds(steps)).collect();
    let lines = Lines {
        frozen: of(&|line| Some(line.components.frozen as f64 / total)),
        cooling: of(&|line| Some((line.components.frozen + line.components.cooling) as f64 / total)),
        seconds: buckets(&times, 400),
        process: of(&|line| line.memory.memory_bytes.map(|bytes| bytes as f64)),
        training: of(&|line| Some(line.memory.training_bytes as f64).filter(|bytes| *bytes > 0.0)),
    };
    let savings = analysis.savings();
    let mut caption = "Strong: frozen; faint: cooling. ".to_owned();
    if let Some(cheaper) = savings.cheaper {
        let verb = if cheaper >= 0.0 { "less" } else { "more" };
        caption += &format!(
            "Compared with the median step before the first freeze, the later ones took {} {verb} in all. ",
            long_seconds(cheaper.abs())
        );
    }
    caption += "Memory: what the process holds (solid), and what parameters, gradients and optimizer state take of it.";
    let series = |name: &str, unit: Unit, buckets: &[Bucket]| -> Value {
        json!({"n": name, "unit": unit.name(), "y": means(buckets)})
    };
    let chart = json!({
        "mode": "all", "x": lines.frozen.iter().map(|bucket| bucket.x).collect::<Vec<_>>(),
        "series": [
            series("frozen", Unit::Percent, &lines.frozen),
            series("frozen or cooling", Unit::Percent, &lines.cooling),
            series("a step", Unit::Seconds, &lines.seconds),
            series("process", Unit::Bytes, &lines.process),
            series("training tensors", Unit::Bytes, &lines.training),
        ],
    });
    let title = "Share frozen, time of a step, memory";
    Figure::draw("progress", title, caption, vec![("progress".to_owned(), chart)], |size| {
        picture(analysis, &lines, size)
    })
}

fn picture(analysis: &Analysis<'_>, lines: &Lines, size: Size) -> Picture {
    let has_memory = lines.process.iter().chain(&lines.training).any(|bucket| bucket.mean.is_finite());
    let height = size.of(120.0, 110.0);
    let places: Vec<Rectangle> = (0..if has_memory { 3 } else { 2 })
        .map(|index| Rectangle::usual(size, 28.0 + f64::from(index) * (height + 40.0), height))
        .collect();
    let bottom = places.last().map_or(0.0, Rectangle::bottom);
    let what = format!(
        "{} of {} components are frozen at the end.",
        analysis.frozen(),
        analysis.run.components_total()
    );
    let mut picture = Picture::new(
        "progress",
        size,
        bottom + 42.0,
        "Share frozen, step time and memory over the steps",
        what,
    );
    let across = Axis::new(Scale::exact(0.0, analysis.run.last_step().max(1) as f64), Unit::Count, "step");

    let up = Axis::new(Scale::exact(0.0, 1.0), Unit::Percent, "components frozen");
    let plot = Plot::new(&mut picture, size, places[0], (&across, &up), false);
    for (class, buckets) in [("soft f0", &lines.cooling), ("area f0", &lines.frozen)] {
        let area: Vec<_> = buckets.iter().map(|bucket| (bucket.x, 0.0, bucket.mean)).collect();
        picture.raw(format_args!(r#"<path class="{class}" d="{}"/>"#, plot.area(&area)));
    }
    plot.touchable(&mut picture, "progress");

    // One slow step, the first or one beside another program's work, must not flatten all others.
    let mut sorted: Vec<f64> =
        lines.seconds.iter().map(|bucket| bucket.mean).filter(|mean| mean.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let usual = sorted.get(sorted.len() * 49 / 50).copied().unwrap_or(1.0) * 1.15;
    let up = Axis::new(Scale::linear(std::iter::once(usual), true), Unit::Seconds, "time of a step");
    let plot = Plot::new(&mut picture, size, places[1], (&across, &up), !has_memory);
    let path = plot.path(lines.seconds.iter().map(|bucket| (bucket.x, bucket.mean)));
    picture.raw(format_args!(r#"<path class="s k1 thin" d="{path}"/>"#));
    plot.touchable(&mut picture, "progress");

    if let Some(at) = places.get(2) {
        let all = lines.process.iter().chain(&lines.training).map(|bucket| bucket.high);
        let up = Axis::new(bytes_scale(all), Unit::Bytes, "memory");
        let plot = Plot::new(&mut picture, size, *at, (&across, &up), true);
        for (class, buckets) in [("s k2", &lines.process), ("s k6", &lines.training)] {
            let path = plot.path(buckets.iter().map(|bucket| (bucket.x, bucket.mean)));
            picture.raw(format_args!(r#"<path class="{class}" d="{path}"/>"#));
        }
        plot.touchable(&mut picture, "progress");
    }
    picture
}

/// Creates a scale from 0 to a round number of the unit in which the largest value is written.
fn bytes_scale(values: impl Iterator<Item = f64>) -> Scale {
    let largest = values.filter(|value| value.is_finite()).fold(1.0, f64::max);
    let unit = 1024f64.powf(largest.log(1024.0).floor());
    let (_, high) = Scale::linear(std::iter::once(largest / unit), true).domain();
    Scale::exact(0.0, high * unit)
}
