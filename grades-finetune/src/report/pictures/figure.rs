//! A figure: one picture for two screens, its heading, its caption, and its values for the page's script.

use serde_json::Value;

use crate::report::svg::{Picture, Size};

/// One figure: the same picture for two screens, and what its values are.
#[derive(Debug)]
pub(in crate::report) struct Figure {
    /// A word for files and identifiers.
    pub(in crate::report) name: String,
    /// The heading.
    pub(in crate::report) title: String,
    /// The explanation below it.
    pub(in crate::report) caption: String,
    /// For a desktop and paper.
    pub(in crate::report) wide: Picture,
    /// For a phone.
    pub(in crate::report) narrow: Picture,
    /// The values for the page's script, by the names that the pictures refer to.
    pub(in crate::report) charts: Vec<(String, Value)>,
}

impl Figure {
    /// Draws a picture for both screens.
    pub(in crate::report) fn draw(
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

/// Rounds a number for JSON, with five digits; null when it is not finite.
pub(super) fn short(value: f64) -> Value {
    let short = format!("{value:.4e}").parse().ok().and_then(serde_json::Number::from_f64);
    short.map_or(Value::Null, Value::Number)
}
