//! A statistic of every component over the steps, with thresholds and freezes.

use grades::policy::Measure;
use grades::statistic::Statistic;
use grades::tracker::FreezeEvent;
use serde_json::{Value, json};

use super::figure::{Figure, short};
use super::legend;
use crate::report::analysis::{Analysis, DEADLINE, reason};
use crate::report::read::StatisticPanel;
use crate::report::svg::{
    Axis, Picture, Plot, Rectangle, Scale, Size, Unit, attribute, coordinate, escape, evenly, plain,
};

/// The most points of all components together.
const POINTS: usize = 40_000;

/// Draws the picture of one statistic.
pub(crate) fn statistic(analysis: &Analysis<'_>, panel: &StatisticPanel, index: usize) -> Figure {
    let most = (POINTS / panel.series.len().max(1)).clamp(40, 320);
    let places = evenly(panel.steps.len(), most);
    let common = panel.common_threshold();
    let name = format!("statistic-{index}");
    let title = format!("{} of every component", with_unit(panel.statistic));
    let mut caption = format!(
        "Each line is what policy {} compared for one component, from its first comparison to the decision. \
         A ring is a decision, a dot the freeze; between them the component cools.",
        panel.policies.join(", ")
    );
    match common {
        Some(threshold) => caption += &format!(" The dashed line is the threshold, {}.", plain(threshold)),
        None if panel.series.iter().any(|series| series.thresholds.iter().any(|value| value.is_finite())) => {
            caption += " Thresholds differ by component: the short dashed line at a line's end.";
        }
        None => caption += " The policy names no threshold.",
    }
    if analysis.run.events.iter().any(|event| event.policy == DEADLINE) {
        caption += " What no policy had decided by the deadline cools from there on.";
    }
    let (low, _) = scale(panel, common).domain();
    let below = |value: &f64| value.is_finite() && *value < low;
    if panel.series.iter().any(|series| series.values.iter().any(below)) {
        caption += &format!(" What is below {} lies on the lower edge.", plain(low));
    }
    if let Some(first) = panel.steps.first().filter(|first| **first > analysis.run.last_step() / 10) {
        caption += &format!(" The first comparison was at step {first}.");
    }
    if places.len() < panel.steps.len() {
        caption += &format!(" {} of {} checks are drawn.", places.len(), panel.steps.len());
    }
    let chart = data(analysis, panel, &places, common);
    let draw = |size| picture(analysis, panel, &places, common, &name, size);
    Figure::draw(name.clone(), title, caption, vec![(name.clone(), chart)], draw)
}

fn data(analysis: &Analysis<'_>, panel: &StatisticPanel, places: &[usize], common: Option<f64>) -> Value {
    let steps: Vec<u64> = places.iter().map(|place| panel.steps[*place]).collect();
    let series: Vec<Value> = panel
        .series
        .iter()
        .map(|series| {
            let history = &analysis.histories[series.component];
            let pick = |values: &[f64]| places.iter().map(|place| short(values[*place])).collect::<Vec<_>>();
            let mut object = json!({
                "n": history.component.name, "k": history.group, "l": history.component.layer, "y": pick(&series.values),
            });
            if common.is_none() {
                object["t"] = json!(pick(&series.thresholds));
            }
            if let Some(event) = history.cooled.or(history.frozen) {
                object["d"] = json!(event.step);
            }
            if let Some(event) = history.frozen {
                object["f"] = json!(event.step);
            }
            object
        })
        .collect();
    json!({"mode": "nearest", "x": steps, "unit": "plain", "t": common.map(short), "series": series})
}

fn picture(
    analysis: &Analysis<'_>,
    panel: &StatisticPanel,
    places: &[usize],
    common: Option<f64>,
    name: &str,
    size: Size,
) -> Picture {
    let words = legend::height(&analysis.groups, size);
    let at = Rectangle::usual(size, words + 30.0, size.of(360.0, 300.0));
    let what = format!(
        "{} components, steps {} to {}; {} froze.",
        panel.series.len(),
        panel.steps.first().copied().unwrap_or(0),
        panel.steps.last().copied().unwrap_or(0),
        analysis.frozen()
    );
    let title = format!("{} over the steps", with_unit(panel.statistic));
    let mut picture = Picture::new(name, size, at.bottom() + 42.0, &title, what);
    legend::draw(&mut picture, &analysis.groups, size, 2.0);
    let last = analysis.run.last_step().max(panel.steps.last().copied().unwrap_or(1));
    let across = Axis::new(Scale::exact(0.0, last as f64), Unit::Count, "step");
    let label = with_unit(panel.statistic);
    let up = Axis::new(scale(panel, common), Unit::Plain, &label);
    let plot = Plot::new(&mut picture, size, at, (&across, &up), true);
    if let Some(threshold) = common {
        let y = plot.y.place(threshold);
        picture.line("lim", (at.left, y), (at.right(), y));
        picture.text("limt end", (at.right(), y - 5.0), &format!("threshold {}", plain(threshold)));
    }
    plot.touchable(&mut picture, name);
    let thin = if panel.series.len() > 24 { " thin" } else { "" };
    for series in &panel.series {
        let history = &analysis.histories[series.component];
        let layer = Analysis::block(history.component.layer);
        let whose = format!("{}{}", attribute("data-k", history.group), attribute("data-l", layer));
        picture.raw(format_args!("<g class=\"one\"{whose}{}>", attribute("data-s", &history.component.name)));
        let points = places.iter().map(|place| (panel.steps[*place] as f64, series.values[*place]));
        let group = history.group % 8;
        picture.raw(format_args!(r#"<path class="s k{group}{thin}" d="{}"/>"#, plot.path(points)));
        let last = (0..panel.steps.len()).rev().find(|place| series.values[*place].is_finite());
        let end =
            last.map(|place| (panel.steps[place] as f64, series.values[place], series.thresholds[place]));
        if let (None, Some((step, _, threshold))) = (common, end)
            && threshold.is_finite()
        {
            let (x, y) = plot.place(step, threshold);
            picture.line("lim", ((x - 12.0).max(at.left), y), ((x + 12.0).min(at.right()), y));
        }
        if let Some((_, value, _)) = end {
            marks(&mut picture, &plot, history.cooled, history.frozen, (value, panel.statistic, group));
        }
        picture.raw("</g>");
    }
    picture
}

/// The name of a statistic, with its unit where it has one of its own.
fn with_unit(statistic: Measure) -> String {
    match statistic {
        // The losses are cross-entropies with the natural logarithm.
        Measure::Statistic(Statistic::Progress) => format!("{statistic} (nats a step)"),
        _ => statistic.to_string(),
    }
}

/// Draws a ring where it was decided, a dot where it froze.
fn marks(
    picture: &mut Picture,
    plot: &Plot,
    cooled: Option<&FreezeEvent>,
    frozen: Option<&FreezeEvent>,
    at: (f64, Measure, usize),
) {
    let (last, statistic, group) = at;
    let Some(decided) = cooled.or(frozen) else { return };
    // A decision by the deadline has no value of this statistic.
    let value =
        if decided.statistic == statistic && decided.value.is_finite() { decided.value } else { last };
    let (x, y) = plot.place(decided.step as f64, value);
    let words = |event: &FreezeEvent, verb: &str| {
        format!("{}: {verb} at step {} ({})", event.component, event.step, reason(event))
    };
    let mut dot = |x: f64, class: &str, radius: f64, words: String| {
        picture.raw(format_args!(
            r#"<circle class="{class}" cx="{}" cy="{}" r="{radius}"><title>{}</title></circle>"#,
            coordinate(x),
            coordinate(y),
            escape(&words)
        ));
    };
    match (cooled, frozen) {
        (Some(cooled), Some(frozen)) => {
            let end = plot.x.place(frozen.step as f64);
            dot(x, &format!("ring k{group}"), 2.6, words(cooled, "decided"));
            dot(end, &format!("dot f{group}"), 3.4, words(frozen, "froze"));
            let [x, y, end] = [x, y, end].map(coordinate);
            picture.raw(format_args!(r#"<path class="cool k{group}" d="M{x} {y}H{end}"/>"#));
        }
        (Some(cooled), None) => {
            dot(x, &format!("ring k{group}"), 2.6, words(cooled, "decided, still cooling"))
        }
        (None, Some(frozen)) => dot(x, &format!("dot f{group}"), 3.4, words(frozen, "froze")),
        (None, None) => {}
    }
}

/// Creates a scale, logarithmic where that shows more. Averages may be 0 or below; then they lie on the lower edge.
fn scale(panel: &StatisticPanel, common: Option<f64>) -> Scale {
    let values = || {
        let all = panel.series.iter().flat_map(|series| series.values.iter().chain(&series.thresholds));
        all.copied().filter(|value| value.is_finite())
    };
    let floor = common.filter(|threshold| *threshold > 0.0).map_or(0.0, |threshold| threshold / 10.0);
    let above = || values().filter(move |value| *value > 0.0 && *value >= floor);
    let (low, high) =
        above().fold((f64::INFINITY, 0.0f64), |(low, high), value| (low.min(value), high.max(value)));
    let positive = values().all(|value| value > 0.0) || common.is_some_and(|threshold| threshold > 0.0);
    if positive && high / low > 30.0 {
        Scale::log(above())
    } else {
        Scale::linear(values(), low >= 0.0 && low < 0.6 * high)
    }
}
