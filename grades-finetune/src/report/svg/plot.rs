//! A plot: a rectangle with axes, in which things are drawn.

use super::number::{bytes, count, percent, plain, seconds};
use super::picture::{Picture, Size, attribute, coordinate};
use super::scale::Scale;

/// The unit of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// As they are.
    Plain,
    /// Whole numbers.
    Count,
    /// Shares as per cent.
    Percent,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// Writes a number with its unit.
    pub(crate) fn text(self, value: f64) -> String {
        match self {
            Self::Plain => plain(value),
            Self::Count => count(value),
            Self::Percent => percent(value),
            Self::Seconds => seconds(value),
            Self::Bytes => bytes(value),
        }
    }

    /// Returns its name for the page's script.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Count => "count",
            Self::Percent => "percent",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
        }
    }
}

/// An axis: its scale, how its numbers are written, and what it says.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    /// The scale.
    pub(crate) scale: Scale,
    /// Its unit.
    pub(crate) unit: Unit,
    /// Its label.
    pub(crate) label: String,
}

impl Axis {
    /// Creates an axis.
    pub(crate) fn new(scale: Scale, unit: Unit, label: impl Into<String>) -> Self {
        Self { scale, unit, label: label.into() }
    }
}

/// Where a plot is in its picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rectangle {
    /// From the left.
    pub(crate) left: f64,
    /// From the top.
    pub(crate) top: f64,
    /// To the right.
    pub(crate) width: f64,
    /// Downwards.
    pub(crate) height: f64,
}

impl Rectangle {
    /// Creates the usual place for a plot of this height, from this place downwards.
    pub(crate) fn usual(size: Size, top: f64, height: f64) -> Self {
        let left = size.of(66.0, 56.0);
        Self { left, top, width: size.width() - left - size.of(18.0, 10.0), height }
    }

    /// Returns the lower edge.
    pub(crate) fn bottom(&self) -> f64 {
        self.top + self.height
    }

    /// Returns the right edge.
    pub(crate) fn right(&self) -> f64 {
        self.left + self.width
    }
}

/// A plot in a picture.
#[derive(Debug, Clone)]
pub(crate) struct Plot {
    /// Where it is.
    pub(crate) at: Rectangle,
    /// Values to places, from left to right.
    pub(crate) x: Scale,
    /// Values to places, upwards.
    pub(crate) y: Scale,
}

impl Plot {
    /// Draws the axes and the grid. `labelled` is false for a plot above another with the same horizontal axis.
    pub(crate) fn new(
        picture: &mut Picture,
        size: Size,
        at: Rectangle,
        axes: (&Axis, &Axis),
        labelled: bool,
    ) -> Self {
        let (across, up) = axes;
        let x = across.scale.onto(at.left, at.right());
        let y = up.scale.onto(at.bottom(), at.top);
        picture.text("sm mu", (at.left, at.top - 8.0), &up.label);
        let many = ((at.height / 36.0) as usize).clamp(2, 6);
        for tick in ticks(up, many) {
            let place = y.place(tick);
            picture.line("gr", (at.left, place), (at.right(), place));
            picture.text("sm mu end", (at.left - 6.0, place + 4.0), &up.unit.text(tick));
        }
        for tick in ticks(across, size.of(8, 4)) {
            let place = x.place(tick);
            if across.unit == Unit::Count && tick.fract().abs() > 1e-9 {
                continue;
            }
            picture.line("ax", (place, at.bottom()), (place, at.bottom() + 4.0));
            if labelled {
                let near_end = place > at.right() - 16.0;
                let class = if near_end { "sm mu end" } else { "sm mu mid" };
                let place = if near_end { at.right() + size.of(8.0, 6.0) } else { place };
                picture.text(class, (place, at.bottom() + 17.0), &across.unit.text(tick));
            }
        }
        picture.line("ax", (at.left, at.bottom()), (at.right(), at.bottom()));
        if labelled && !across.label.is_empty() {
            picture.text("sm mu mid", (at.left + at.width / 2.0, at.bottom() + 34.0), &across.label);
        }
        Self { at, x, y }
    }

    /// Returns where a point is.
    pub(crate) fn place(&self, x: f64, y: f64) -> (f64, f64) {
        (self.x.place(x), self.y.place(y))
    }

    /// Writes the `d` of a line through the points; it is broken where a value is not finite.
    pub(crate) fn path(&self, points: impl Iterator<Item = (f64, f64)>) -> String {
        let mut path = String::new();
        let mut pen_down = false;
        let mut last = (String::new(), String::new());
        for (x, y) in points {
            if !y.is_finite() {
                // A point on its own is a dot.
                if pen_down && path.ends_with(&format!("M{} {}", last.0, last.1)) {
                    path.push_str("h0.1");
                }
                pen_down = false;
                continue;
            }
            let (x, y) = self.place(x, y);
            let now = (coordinate(x), coordinate(y));
            if !pen_down {
                path.push_str(&format!("M{} {}", now.0, now.1));
            } else if now != last {
                path.push_str(&format!("L{} {}", now.0, now.1));
            }
            pen_down = true;
            last = now;
        }
        if pen_down && path.ends_with(&format!("M{} {}", last.0, last.1)) {
            path.push_str("h0.1");
        }
        path
    }

    /// Writes the `d` of the area between two lines over the same places.
    pub(crate) fn area(&self, points: &[(f64, f64, f64)]) -> String {
        let finite: Vec<_> =
            points.iter().filter(|(_, low, high)| low.is_finite() && high.is_finite()).collect();
        let corner = |x: f64, y: f64| {
            let (x, y) = self.place(x, y);
            format!("{} {}", coordinate(x), coordinate(y))
        };
        let up = finite.iter().map(|(x, _, high)| corner(*x, *high));
        let back = finite.iter().rev().map(|(x, low, _)| corner(*x, *low));
        let corners: Vec<String> = up.chain(back).collect();
        if corners.len() < 4 { String::new() } else { format!("M{}Z", corners.join("L")) }
    }

    /// Adds the surface by which the page's script finds values: the chart's name in its data, and the scales.
    pub(crate) fn touchable(&self, picture: &mut Picture, chart: &str) {
        let scale = |scale: &Scale| {
            let (low, high) = scale.domain();
            format!("{low} {high} {}", if scale.is_log() { "log" } else { "lin" })
        };
        let Rectangle { left, top, width, height } = self.at;
        let more = format!(
            "{}{}{}",
            attribute("data-chart", chart),
            attribute("data-x", scale(&self.x)),
            attribute("data-y", scale(&self.y))
        );
        picture.rect("hit", (left, top), (width, height), &more);
    }
}

/// Returns round values; of bytes, those that are round in the unit in which they are written.
fn ticks(axis: &Axis, about: usize) -> Vec<f64> {
    if axis.unit != Unit::Bytes {
        return axis.scale.ticks(about);
    }
    let (low, high) = axis.scale.domain();
    let unit = 1024f64.powf(high.max(1.0).log(1024.0).floor());
    let ticks = Scale::exact(low / unit, high / unit).ticks(about);
    ticks.into_iter().map(|tick| tick * unit).collect()
}
