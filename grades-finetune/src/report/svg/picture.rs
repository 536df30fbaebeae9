//! One picture: the markup of an SVG element.

use std::fmt::{Display, Write};

use super::theme::standalone_style;

/// For which screen a picture is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// A desktop's, and paper.
    Wide,
    /// A phone's.
    Narrow,
}

impl Size {
    /// Returns either of two.
    pub(crate) fn of<T>(self, wide: T, narrow: T) -> T {
        match self {
            Self::Wide => wide,
            Self::Narrow => narrow,
        }
    }

    /// Returns a picture's width.
    pub(crate) fn width(self) -> f64 {
        self.of(960.0, 360.0)
    }

    /// Returns a word for identifiers.
    pub(crate) fn name(self) -> &'static str {
        self.of("wide", "narrow")
    }
}

/// One picture.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    id: String,
    width: f64,
    height: f64,
    title: String,
    description: String,
    body: String,
}

impl Picture {
    /// Creates an empty picture. `id` is unique among those of a page.
    pub(crate) fn new(
        id: impl Into<String>,
        size: Size,
        height: f64,
        title: &str,
        description: String,
    ) -> Self {
        let id = format!("{}-{}", id.into(), size.name());
        Self { id, width: size.width(), height, title: title.to_owned(), description, body: String::new() }
    }

    /// Returns its identifier, with which those of its parts begin.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Adds markup.
    pub(crate) fn raw(&mut self, markup: impl Display) {
        // Writing into a string does not fail.
        let _ = write!(self.body, "{markup}");
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(coordinate);
        self.raw(format_args!(r#"<line class="{class}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>"#));
    }

    /// Adds a rectangle with further attributes.
    pub(crate) fn rect(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64), more: &str) {
        let [x, y, width, height] = [x, y, width.max(0.0), height.max(0.0)].map(coordinate);
        self.raw(format_args!(
            r#"<rect class="{class}" x="{x}" y="{y}" width="{width}" height="{height}"{more}/>"#
        ));
    }

    /// Adds a text; `class` says how it is set, with `end` or `mid` for its anchor.
    pub(crate) fn text(&mut self, class: &str, (x, y): (f64, f64), text: &str) {
        let [x, y] = [x, y].map(coordinate);
        self.raw(format_args!(r#"<text class="{class}" x="{x}" y="{y}">{}</text>"#, escape(text)));
    }

    /// Writes the element, for a page that has the styles.
    pub(crate) fn inline(&self) -> String {
        self.element("")
    }

    /// Writes a file of its own.
    pub(crate) fn file(&self) -> String {
        let style = format!("<style>{}</style>", standalone_style());
        let background = r#"<rect class="bg" x="0" y="0" width="100%" height="100%"/>"#;
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}\n",
            self.element(&format!("{style}{background}"))
        )
    }

    fn element(&self, first: &str) -> String {
        let Self { id, title, description, body, .. } = self;
        let [width, height] = [self.width, self.height].map(coordinate);
        let (title, description) = (escape(title), escape(description));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\
             <title id=\"{id}-t\">{title}</title><desc id=\"{id}-d\">{description}</desc>{first}{body}</svg>"
        )
    }
}

/// Writes a coordinate with one decimal, as short as it can be.
pub(crate) fn coordinate(value: f64) -> String {
    let text = format!("{value:.1}");
    let short = text.strip_suffix(".0").unwrap_or(&text);
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

/// Escapes text inside of markup. A character that XML does not allow becomes a replacement character.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Writes an attribute with a space before it.
pub(crate) fn attribute(name: &str, value: impl Display) -> String {
    format!(r#" {name}="{}""#, escape(&value.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("<b>&\"'\u{1}\n"), "&lt;b&gt;&amp;&quot;&#39;\u{fffd} ");
        assert_eq!(attribute("data-n", "a\"b"), " data-n=\"a&quot;b\"");
    }

    #[test]
    fn coordinates_are_short() {
        assert_eq!([1.0, 1.25, -0.01, 100.04].map(coordinate), ["1", "1.2", "0", "100"]);
    }
}
