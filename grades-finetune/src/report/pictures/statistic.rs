//! A statistic of every component over the steps, with thresholds and freezes.

use grades::policy::Measure;
use grades::tracker::FreezeEvent;
use serde_json::{Value, json};

use super::{Figure, legend, short};
use crate::report::read::StatisticPanel;
use crate::report::svg::{
    Axis, Picture, Plot, Rectangle, Scale, Size, Unit, attribute, coordinate, escape, evenly, plain,
};
use crate::report::view::View;

/// At most so many points of all components together.
const POINTS: usize = 40_000;

/// The picture of one statistic.
pub(crate) fn statistic(view: &View<'_>, panel: &StatisticPanel, index: usize) -> Figure {
    let most = (POINTS / panel.series.len().max(1)).clamp(40, 320);
    let places = evenly(panel.steps.len(), most);
    let common = panel.common_threshold();
    let name = format!("statistic-{index}");
    let title = format!("{} of every component", panel.statistic);
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
    if view.run.events.iter().any(|event| event.policy == "deadline") {
        caption += " What no policy had decided by the deadline cools from there on.";
    }
    let (low, _) = scale(panel, common).domain();
    let below = |value: &f64| value.is_finite() && *value < low;
    if panel.series.iter().any(|series| series.values.iter().any(below)) {
        caption += &format!(" What is below {} lies on the lower edge.", plain(low));
    }
    if places.len() < panel.steps.len() {
        caption += &format!(" {} of {} checks are drawn.", places.len(), panel.steps.len());
    }
    let chart = data(view, panel, &places, common);
    let draw = |size| picture(view, panel, &places, common, &name, size);
    Figure::draw(name.clone(), title, caption, vec![(name.clone(), chart)], draw)
}

fn data(view: &View<'_>, panel: &StatisticPanel, places: &[usize], common: Option<f64>) -> Value {
    let steps: Vec<u64> = places.iter().map(|place| panel.steps[*place]).collect();
    let series: Vec<Value> = panel
        .series
        .iter()
        .map(|series| {
            let fate = &view.fates[series.component];
            let pick = |values: &[f64]| places.iter().map(|place| short(values[*place])).collect::<Vec<_>>();
            let mut object = json!({
                "n": fate.component.name, "k": fate.role, "l": fate.component.layer, "y": pick(&series.values),
            });
            if common.is_none() {
                object["t"] = json!(pick(&series.thresholds));
            }
            if let Some(event) = fate.cooled.or(fate.frozen) {
                object["d"] = json!(event.step);
            }
            if let Some(event) = fate.frozen {
                object["f"] = json!(event.step);
            }
            object
        })
        .collect();
    json!({"mode": "nearest", "x": steps, "unit": "plain", "t": common.map(short), "series": series})
}

fn picture(
    view: &View<'_>,
    panel: &StatisticPanel,
    places: &[usize],
    common: Option<f64>,
    name: &str,
    size: Size,
) -> Picture {
    let words = legend::height(&view.roles, size);
    let at = Rectangle::usual(size, words + 30.0, size.of(360.0, 300.0));
    let what = format!(
        "{} components, steps {} to {}; {} froze.",
        panel.series.len(),
        panel.steps.first().copied().unwrap_or(0),
        panel.steps.last().copied().unwrap_or(0),
        view.frozen()
    );
    let title = format!("{} over the steps", panel.statistic);
    let mut picture = Picture::new(name, size, at.bottom() + 42.0, &title, what);
    legend::draw(&mut picture, &view.roles, size, 2.0);
    let last = view.run.last_step().max(panel.steps.last().copied().unwrap_or(1));
    let across = Axis::new(Scale::exact(0.0, last as f64), Unit::Count, "step");
    let up = Axis::new(scale(panel, common), Unit::Plain, panel.statistic.name());
    let plot = Plot::new(&mut picture, size, at, (&across, &up), true);
    if let Some(threshold) = common {
        let y = plot.y.place(threshold);
        picture.line("lim", (at.left, y), (at.right(), y));
        picture.text("limt end", (at.right(), y - 5.0), &format!("threshold {}", plain(threshold)));
    }
    plot.touchable(&mut picture, name);
    let thin = if panel.series.len() > 24 { " thin" } else { "" };
    for series in &panel.series {
        let fate = &view.fates[series.component];
        let layer = View::block(fate.component.layer);
        let whose = format!("{}{}", attribute("data-k", fate.role), attribute("data-l", layer));
        picture.raw(format_args!("<g class=\"one\"{whose}{}>", attribute("data-s", &fate.component.name)));
        let points = places.iter().map(|place| (panel.steps[*place] as f64, series.values[*place]));
        let role = fate.role % 8;
        picture.raw(format_args!(r#"<path class="s k{role}{thin}" d="{}"/>"#, plot.path(points)));
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
            marks(&mut picture, &plot, fate.cooled, fate.frozen, (value, panel.statistic, role));
        }
        picture.raw("</g>");
    }
    picture
}

/// A ring where it was decided, a dot where it froze.
fn marks(
    picture: &mut Picture,
    plot: &Plot,
    cooled: Option<&FreezeEvent>,
    frozen: Option<&FreezeEvent>,
    at: (f64, Measure, usize),
) {
    let (last, statistic, role) = at;
    let Some(decided) = cooled.or(frozen) else { return };
    // What the deadline decided has no value of this statistic.
    let value =
        if decided.statistic == statistic && decided.value.is_finite() { decided.value } else { last };
    let (x, y) = plot.place(decided.step as f64, value);
    let told = |event: &FreezeEvent, verb: &str| {
        format!(
            "{}: {verb} at step {} ({} {} against {}, {})",
            event.component,
            event.step,
            event.statistic,
            plain(event.value),
            plain(event.threshold),
            event.policy
        )
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
            dot(x, &format!("ring k{role}"), 2.6, told(cooled, "decided"));
            dot(end, &format!("dot f{role}"), 3.4, told(frozen, "froze"));
            let [x, y, end] = [x, y, end].map(coordinate);
            picture.raw(format_args!(r#"<path class="cool k{role}" d="M{x} {y}H{end}"/>"#));
        }
        (Some(cooled), None) => dot(x, &format!("ring k{role}"), 2.6, told(cooled, "decided, still cooling")),
        (None, Some(frozen)) => dot(x, &format!("dot f{role}"), 3.4, told(frozen, "froze")),
        (None, None) => {}
    }
}

/// Logarithmic where that shows more. Averages may be 0 or below; then they lie on the lower edge.
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
