//! The pictures of a run and of a comparison.

mod accuracy;
mod curves;
mod heat_map;
mod legend;
mod loss;
mod progress;
mod savings;
mod statistic;
mod time;

pub(super) use accuracy::accuracy_over_time;
pub(super) use curves::curves;
pub(super) use heat_map::heat_map;
pub(super) use loss::loss;
pub(super) use progress::progress;
pub(super) use savings::savings;
pub(super) use statistic::statistic;
pub(super) use time::time_bars;

use serde_json::Value;

use super::svg::{Picture, Size};

/// One figure: the same picture for two screens, and what its values are.
#[derive(Debug)]
pub(super) struct Figure {
    /// A word for files and identifiers.
    pub(super) name: String,
    /// The heading.
    pub(super) title: String,
    /// What one should know to read it.
    pub(super) caption: String,
    /// For a desktop and paper.
    pub(super) wide: Picture,
    /// For a phone.
    pub(super) narrow: Picture,
    /// The values for the page's script, by the names that the pictures refer to.
    pub(super) charts: Vec<(String, Value)>,
}

impl Figure {
    /// Draws a picture for both screens.
    pub(super) fn draw(
        name: impl Into<String>,
        title: impl Into<String>,
        caption: String,
        charts: Vec<(String, Value)>,
        draw: impl Fn(Size) -> Picture,
    ) -> Self {
        let (wide, narrow) = (draw(Size::Wide), draw(Size::Narrow));
        Self { name: name.into(), title: title.into(), caption, wide, narrow, charts }
    }
}

/// A number for JSON, with five digits; null when it is not finite.
pub(super) fn short(value: f64) -> Value {
    let short = format!("{value:.4e}").parse().ok().and_then(serde_json::Number::from_f64);
    short.map_or(Value::Null, Value::Number)
}
