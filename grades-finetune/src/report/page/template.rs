//! Fills the template of pages.

use anyhow::{Context, Result};
use minijinja::value::Serde;
use minijinja::{Environment, Value, context};
use serde::Serialize;

use crate::report::pictures::Figure;
use crate::report::svg::chart_css;

/// A key figure at the top.
#[derive(Debug, Serialize)]
pub(super) struct Key {
    /// Its name.
    pub(super) name: &'static str,
    /// The number.
    pub(super) value: String,
    /// A word more.
    pub(super) note: String,
}

/// A row of a table.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// Its cells; the first is its heading.
    pub(super) cells: Vec<String>,
    /// True for a row that stands out.
    pub(super) strong: bool,
}

/// The filters of a page's pictures.
#[derive(Debug, Serialize)]
pub(super) struct Filters {
    /// The groups, in the order of their colours.
    pub(super) groups: Vec<String>,
    /// The name of the groups.
    pub(super) groups_name: &'static str,
    /// The blocks.
    pub(super) layers: Vec<String>,
}

/// The table of a page.
#[derive(Debug, Serialize)]
pub(super) struct PageTable {
    /// Its heading.
    pub(super) table_title: &'static str,
    /// The heads of its columns.
    pub(super) columns: Vec<String>,
    /// Its rows.
    pub(super) rows: Vec<Row>,
}

/// Everything that a page shows.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    /// In the title bar.
    pub(super) title: String,
    /// Above the heading.
    pub(super) over: &'static str,
    /// The heading.
    pub(super) heading: String,
    /// The outcome in one sentence.
    pub(super) sentence: String,
    /// The key figures.
    pub(super) keys: Vec<Key>,
    /// The filters of the pictures.
    #[serde(flatten)]
    pub(super) filters: Filters,
    /// Notes that a reader should see before the pictures.
    pub(super) notes: Vec<String>,
    /// The table below them.
    #[serde(flatten)]
    pub(super) table: PageTable,
    /// The configuration, as TOML.
    pub(super) config: String,
    /// The command that makes it again.
    pub(super) command: String,
}

/// Puts a page together.
pub(super) fn render(page: &Page, figures: &[Figure]) -> Result<String> {
    let mut environment = Environment::new();
    environment
        .add_template("page.html", include_str!("page.html"))
        .context("the template of reports does not parse")?;
    let template = environment.get_template("page.html").context("there is no template of reports")?;
    let charts: serde_json::Map<String, serde_json::Value> =
        figures.iter().flat_map(|figure| figure.charts.iter().cloned()).collect();
    // Inside of a script element only `<` could end it or begin a comment.
    let data = serde_json::to_string(&serde_json::json!({"charts": charts}))?
        .replace('<', "\\u003c")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029");
    let figures: Vec<Value> = figures
        .iter()
        .map(|figure| {
            context! {
                name => figure.name.clone(), title => figure.title.clone(), caption => figure.caption.clone(),
                wide => Value::from_safe_string(figure.wide.inline()),
                narrow => Value::from_safe_string(figure.narrow.inline()),
            }
        })
        .collect();
    template
        .render(context! {
            page => Value::from(Serde(page)), figures,
            style => Value::from_safe_string(format!("{}{}", chart_css(), include_str!("style.css"))),
            script => Value::from_safe_string(include_str!("script.js").to_owned()),
            data => Value::from_safe_string(data),
            version => env!("CARGO_PKG_VERSION"),
        })
        .context("the template of reports fails")
}
