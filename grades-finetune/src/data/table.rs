//! Rows of cells to examples: finding the header and the two columns.

use std::path::Path;

use super::column::{Column, Header};
use super::error::{Error, Result};
use super::read::{Record, Source, record};

/// One row of a table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) cells: Vec<String>,
}

/// The examples, and whether the first row was a header.
pub(super) fn records(
    path: &Path,
    rows: impl Iterator<Item = Result<Row>>,
    source: &Source,
) -> Result<(Vec<Record>, bool)> {
    let mut rows = rows.peekable();
    let (text, label) = (&source.text, &source.label);
    let named = [text, label].into_iter().find(|column| matches!(column, Column::Name(_)));
    if let (Header::No, Some(column)) = (source.header, named) {
        let message = format!("column {column} is given by name, but header = false; give its position");
        return Err(Error::file(path, message));
    }
    // An error in the first row is reported by the loop below.
    let Some(first) = rows.peek() else { return Ok((Vec::new(), false)) };
    let header = match (source.header, first) {
        (Header::Yes, _) => true,
        (Header::No, _) | (_, Err(_)) => false,
        (Header::Auto, Ok(first)) => named.is_some() || names_label(first, label),
    };
    let (mut text_at, mut label_at) = (text.clone(), label.clone());
    if header && let Some(first) = rows.next().transpose()? {
        text_at = Column::Position(find(path, &first, text, "text")?);
        label_at = Column::Position(find(path, &first, label, "label")?);
        if text_at == label_at {
            return Err(same(path, text, label));
        }
    }
    if text_at == label_at {
        return Err(same(path, text, label));
    }
    let mut list = Vec::new();
    for row in rows {
        let mut row = row?;
        let (text, label) = (place(path, &row, &text_at, "text")?, place(path, &row, &label_at, "label")?);
        if text == label {
            let message = format!("has one column only, for both text and label; found \"{}\"", clip(&row));
            return Err(Error::line(path, row.line, message));
        }
        let text = std::mem::take(&mut row.cells[text]);
        list.push(record(path, row.line, text, &row.cells[label])?);
    }
    Ok((list, header))
}

fn same(path: &Path, text: &Column, label: &Column) -> Error {
    Error::file(path, format!("text = {text} and label = {label} are the same column"))
}

/// Whether the cell in the label's column is a word that stands above labels.
fn names_label(row: &Row, label: &Column) -> bool {
    const WORDS: [&str; 5] = ["label", "labels", "class", "target", "category"];
    let Column::Position(position) = label else { return false };
    let cell = resolve(row, *position).map(|at| row.cells[at].trim().to_ascii_lowercase());
    cell.is_some_and(|cell| WORDS.contains(&cell.as_str()))
}

/// The position of a column, by the header's names.
fn find(path: &Path, header: &Row, column: &Column, what: &str) -> Result<i64> {
    let name = match column {
        Column::Position(position) => return Ok(*position),
        Column::Name(name) => name,
    };
    let mut found = (0..).zip(&header.cells).filter(|(_, cell)| cell.trim() == name);
    match (found.next(), found.next()) {
        (Some((position, _)), None) => Ok(position),
        (Some(_), Some(_)) => {
            let message = format!("two columns are named \"{name}\"; give the position of the {what}");
            Err(Error::line(path, header.line, message))
        }
        (None, _) => {
            let known: Vec<String> = header.cells.iter().map(|cell| format!("\"{}\"", cell.trim())).collect();
            let message =
                format!("no column \"{name}\" for the {what}; the columns are {}", known.join(", "));
            Err(Error::line(path, header.line, message))
        }
    }
}

/// The index of a column in one row.
fn place(path: &Path, row: &Row, column: &Column, what: &str) -> Result<usize> {
    let position = match column {
        Column::Position(position) => *position,
        // Names are resolved by `find`; without a header there are none.
        Column::Name(_) => find(path, row, column, what)?,
    };
    resolve(row, position).ok_or_else(|| {
        let message = format!(
            "no column {position} for the {what}; the line has {} column(s): \"{}\"",
            row.cells.len(),
            clip(row)
        );
        Error::line(path, row.line, message)
    })
}

fn resolve(row: &Row, position: i64) -> Option<usize> {
    let count = i64::try_from(row.cells.len()).ok()?;
    let position = if position < 0 { position.checked_add(count)? } else { position };
    usize::try_from(position).ok().filter(|&at| at < row.cells.len())
}

/// The beginning of a row, for messages.
fn clip(row: &Row) -> String {
    const SHOWN: usize = 60;
    let text = row.cells.join(" | ");
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
