//! Loss and learning rate, with freezes marked.

use serde_json::{Value, json};

use super::figure::{Figure, short};
use crate::records::StepRecord;
use crate::report::analysis::Analysis;
use crate::report::svg::{
    Axis, Bucket, Picture, Plot, Rectangle, Scale, Size, Unit, attribute, buckets, coordinate, escape,
};

/// Draws the picture.
pub(crate) fn loss(analysis: &Analysis<'_>) -> Figure {
    let points = |of: &dyn Fn(&StepRecord) -> f64| {
        analysis.run.steps.iter().map(|line| (line.step as f64, of(line))).collect::<Vec<_>>()
    };
    let losses = buckets(&points(&|line| line.loss), 480);
    let rates = buckets(&points(&|line| line.learning_rate), 480);
    let several = analysis.run.steps.len() > losses.len();
    let mut caption = "The training loss before each update".to_owned();
    if several {
        caption += &format!(
            ", as means over {} steps with the range beside them",
            analysis.run.steps.len().div_ceil(480)
        );
    }
    caption += &format!(
        "; the learning rate of those that train{}.",
        if analysis.run.events.is_empty() { "" } else { "; below the loss a mark for each freeze" }
    );
    if !analysis.run.evaluations.is_empty() {
        caption += " Diamonds are evaluations.";
    }
    let unknown = analysis.run.steps.iter().filter(|line| !line.loss.is_finite()).count();
    if unknown > 0 {
        caption += &format!(" {unknown} losses were not finite.");
    }
    let chart = json!({
        "mode": "all", "x": losses.iter().map(|bucket| bucket.x).collect::<Vec<_>>(),
        "series": [
            {"n": "loss", "unit": "plain", "y": means(&losses)},
            {"n": "learning rate", "unit": "plain", "y": means(&rates)},
        ],
    });
    let draw = |size| picture(analysis, &losses, &rates, several, size);
    Figure::draw("loss", "Loss and learning rate", caption, vec![("loss".to_owned(), chart)], draw)
}

pub(super) fn means(buckets: &[Bucket]) -> Vec<Value> {
    buckets.iter().map(|bucket| short(bucket.mean)).collect()
}

fn picture(
    analysis: &Analysis<'_>,
    losses: &[Bucket],
    rates: &[Bucket],
    several: bool,
    size: Size,
) -> Picture {
    let last = analysis.run.last_step().max(1) as f64;
    let across = Axis::new(Scale::exact(0.0, last), Unit::Count, "step");
    let at = Rectangle::usual(size, 28.0, size.of(250.0, 210.0));
    let rug = if analysis.run.events.is_empty() { 0.0 } else { 34.0 };
    let below = Rectangle::usual(size, at.bottom() + rug + 40.0, 90.0);
    let what = format!(
        "{} steps; the last loss is {}.",
        analysis.run.steps.len(),
        Unit::Plain.text(losses.last().map_or(f64::NAN, |bucket| bucket.mean))
    );
    let mut picture =
        Picture::new("loss", size, below.bottom() + 42.0, "Loss and learning rate over the steps", what);

    let evaluated =
        analysis.run.evaluations.iter().map(|line| line.evaluation.loss).filter(|loss| loss.is_finite());
    let values =
        losses.iter().flat_map(|bucket| [bucket.low, bucket.high]).chain(evaluated).collect::<Vec<f64>>();
    let up = Axis::new(Scale::sensible(values.iter().copied()), Unit::Plain, "loss");
    let plot = Plot::new(&mut picture, size, at, (&across, &up), rug == 0.0);
    if several {
        let band: Vec<_> = losses.iter().map(|bucket| (bucket.x, bucket.low, bucket.high)).collect();
        picture.raw(format_args!(r#"<path class="band f0" d="{}"/>"#, plot.area(&band)));
    }
    let line = losses.iter().map(|bucket| (bucket.x, bucket.mean));
    let path = plot.path(line);
    picture.raw(format_args!(
        r#"<path class="s k0 {}" d="{path}"/>"#,
        if losses.len() > 100 { "thin" } else { "" }
    ));
    if losses.len() > 30 {
        let smooth = smoothed(losses);
        picture.raw(format_args!(r#"<path class="s ink" d="{}"/>"#, plot.path(smooth.into_iter())));
    }
    plot.touchable(&mut picture, "loss");
    for line in &analysis.run.evaluations {
        let value = line.evaluation.loss;
        if !value.is_finite() {
            continue;
        }
        let (x, y) = plot.place(line.step as f64, value);
        let words = match line.evaluation.accuracy {
            Some(accuracy) => format!(
                "step {}: evaluated, loss {}, accuracy {accuracy:.4}",
                line.step,
                Unit::Plain.text(value)
            ),
            None => format!("step {}: evaluated, loss {}", line.step, Unit::Plain.text(value)),
        };
        let [x, y] = [x, y].map(coordinate);
        picture.raw(format_args!(
            r#"<path class="dot f1" d="M{x} {y}m-5 0l5 -5l5 5l-5 5z"{}><title>{}</title></path>"#,
            attribute("data-tip", &words),
            escape(&words)
        ));
    }
    if rug > 0.0 {
        freezes(&mut picture, analysis, &plot, (at.left, at.bottom() + 10.0));
    }

    let up =
        Axis::new(Scale::linear(rates.iter().map(|bucket| bucket.high), true), Unit::Plain, "learning rate");
    let plot = Plot::new(&mut picture, size, below, (&across, &up), true);
    let path = plot.path(rates.iter().map(|bucket| (bucket.x, bucket.mean)));
    picture.raw(format_args!(r#"<path class="s k2" d="{path}"/>"#));
    plot.touchable(&mut picture, "loss");
    picture
}

/// Draws a mark for each freeze, in the colour of its kind.
fn freezes(picture: &mut Picture, analysis: &Analysis<'_>, plot: &Plot, (left, top): (f64, f64)) {
    for history in &analysis.histories {
        let Some(event) = history.frozen else { continue };
        let x = coordinate(plot.x.place(event.step as f64));
        let words = format!("{} froze at step {}", event.component, event.step);
        picture.raw(format_args!(
            r#"<path class="tick k{} one" d="M{x} {}v12"{}{}{}><title>{}</title></path>"#,
            history.group % 8,
            coordinate(top),
            attribute("data-k", history.group),
            attribute("data-l", Analysis::block(history.component.layer)),
            attribute("data-tip", &words),
            escape(&words)
        ));
    }
    let place = format!("freezes: {} of {}", analysis.frozen(), analysis.run.components_total());
    picture.text("sm mu", (left, top + 26.0), &place);
}

/// Computes a moving average over a twentieth of the points, to see the trend through the noise.
fn smoothed(buckets: &[Bucket]) -> Vec<(f64, f64)> {
    let gain = (20.0 / buckets.len() as f64).min(0.5);
    let (mut sum, mut weight) = (0.0, 0.0);
    buckets
        .iter()
        .map(|bucket| {
            if bucket.mean.is_finite() {
                sum += gain * (bucket.mean - sum);
                weight += gain * (1.0 - weight);
            }
            (bucket.x, if bucket.mean.is_finite() { sum / weight } else { f64::NAN })
        })
        .collect()
}
