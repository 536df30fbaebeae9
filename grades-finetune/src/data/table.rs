//! Finds the header and the columns of a table, and makes examples of its rows.

use std::collections::HashMap;
use std::path::Path;

use super::column::{Column, Header};
use super::error::{Error, Result};
use super::names::{self, Role};
use super::record::{Columns, Record, Records, Source, record};
use super::row::Row;

/// Makes examples of all rows.
pub(super) fn records(path: &Path, rows: Vec<Row>, source: &Source) -> Result<Records> {
    let given = [&source.text, &source.text_pair, &source.label];
    let named = given.into_iter().find(|column| matches!(column, Column::Name(_)));
    if let (Header::No, Some(column)) = (source.header, named) {
        let message = format!("column {column} is given by name, but header = false; give its position");
        return Err(Error::file(path, message));
    }
    let Some(first) = rows.first() else {
        return Ok(Records { path: path.to_path_buf(), ..Records::default() });
    };
    let header = match source.header {
        Header::Yes => true,
        Header::No => false,
        Header::Auto => named.is_some() || names_columns(first, source) || differs(&rows, source),
    };
    let table = Table { path, first, header };
    let places = table.places(source)?;
    let Places { text, pair, label } = places;
    let same = if text == label {
        Some(("text", &source.text, "label", &source.label))
    } else if pair == Some(label) {
        Some(("text_pair", &source.text_pair, "label", &source.label))
    } else if pair == Some(text) {
        Some(("text", &source.text, "text_pair", &source.text_pair))
    } else {
        None
    };
    if let Some((one, a, other, b)) = same {
        return Err(Error::file(path, format!("{one} = {a} and {other} = {b} are the same column")));
    }
    let mut records = Records { path: path.to_path_buf(), header, ..Records::default() };
    records.columns = Some(Columns {
        text: table.shown(text),
        pair: pair.map(|pair| table.shown(pair)),
        label: table.shown(label),
    });
    for row in rows.iter().skip(usize::from(header)) {
        if header && table.repeats_header(row) {
            let message = format!("repeats the header of line {}; remove the line", first.line);
            return Err(Error::line(path, row.line, message));
        }
        match table.record(row, places, source)? {
            Some(record) => records.list.push(record),
            None => records.unlabelled += 1,
        }
    }
    if !header && source.header == Header::Auto {
        table.no_header(&records.list)?;
    }
    if (&source.text, &source.label) == (&Column::Auto, &Column::Auto) && !header {
        table.not_swapped(&records.list)?;
    }
    Ok(records)
}

/// Returns whether the first row has names of columns.
fn names_columns(first: &Row, source: &Source) -> bool {
    if let Column::Position(position) = source.label {
        return first.index(position).is_some_and(|at| Role::Label.certain(&first.cells[at]));
    }
    first.cells.len() > 1 && names::are_names(first.cells.iter().map(String::as_str))
}

/// Returns whether the first row is unlike those below: it has a word above a column of numbers.
fn differs(rows: &[Row], source: &Source) -> bool {
    let Some((first, rest)) = rows.split_first().filter(|(_, rest)| rest.len() > 1) else { return false };
    let number = |cell: &str| cell.trim().parse::<f64>().is_ok();
    let over_numbers = |at: usize| {
        let cell = first.cells.get(at).map_or("", |cell| cell.trim());
        !cell.is_empty()
            && !number(cell)
            && rest.iter().all(|row| row.cells.get(at).is_some_and(|cell| number(cell)))
    };
    match source.label {
        Column::Position(position) => first.index(position).is_some_and(over_numbers),
        _ => (0..first.cells.len()).any(over_numbers),
    }
}

/// The positions of the columns of an example, from 0 or, negative, from the end.
#[derive(Clone, Copy)]
struct Places {
    text: i64,
    pair: Option<i64>,
    label: i64,
}

/// The rows of a file, by its first one.
struct Table<'a> {
    path: &'a Path,
    first: &'a Row,
    header: bool,
}

impl Table<'_> {
    /// Returns the columns of an example.
    fn places(&self, source: &Source) -> Result<Places> {
        let pair = self.given(&source.text_pair, Role::Pair)?;
        let known = || {
            let cells = self.first.cells.iter().map(String::as_str);
            let (first, second) = self.header.then(|| names::pair(cells)).flatten()?;
            i64::try_from(first).ok().zip(i64::try_from(second).ok())
        };
        let (text, pair) = match (self.given(&source.text, Role::Text)?, pair) {
            (None, None) => known().map_or((None, None), |(first, second)| (Some(first), Some(second))),
            (None, Some(pair)) => (known().filter(|known| known.1 == pair).map(|known| known.0), Some(pair)),
            given => given,
        };
        let label = self.given(&source.label, Role::Label)?;
        let Some(second) = pair else {
            let (text, label) = self.text_and_label(text, label)?;
            return Ok(Places { text, pair: None, label });
        };
        let index = |position: i64| self.first.index(position);
        let free = |role: Role, other: Option<i64>| {
            let taken = [Some(second), other].map(|position| position.and_then(index));
            let cells = self.first.cells.iter().map(String::as_str);
            let named =
                self.header.then(|| role.find(cells)).flatten().filter(|at| !taken.contains(&Some(*at)));
            let mut others = (0..self.first.cells.len()).filter(|at| !taken.contains(&Some(*at)));
            // Of three columns the one that is not known is the last.
            let rest = (other.is_some() && self.first.cells.len() == 3).then(|| others.next_back()).flatten();
            named.or(rest).and_then(|at| i64::try_from(at).ok())
        };
        let label = label.or_else(|| free(Role::Label, text));
        let text = text.or_else(|| free(Role::Text, label));
        match (text, label) {
            (Some(text), Some(label)) => Ok(Places { text, pair, label }),
            _ => Err(self.unknown_columns()),
        }
    }

    /// Returns the position of a column that the user names.
    fn given(&self, column: &Column, role: Role) -> Result<Option<i64>> {
        match column {
            Column::Auto => Ok(None),
            Column::Position(position) => Ok(Some(*position)),
            Column::Name(name) => self.find(name, role).map(Some),
        }
    }

    /// Returns the positions of the text and the label, of which some may be known.
    fn text_and_label(&self, text: Option<i64>, label: Option<i64>) -> Result<(i64, i64)> {
        if let (Some(text), Some(label)) = (text, label) {
            // A position from the end may be the other's.
            let same =
                self.header && self.first.index(text).is_some_and(|at| self.first.index(label) == Some(at));
            return Ok((text, if same { text } else { label }));
        }
        let width = self.first.cells.len();
        let by_name = |role: Role| {
            let cells = self.first.cells.iter().map(String::as_str);
            self.header.then(|| role.find(cells)).flatten().and_then(|at| i64::try_from(at).ok())
        };
        let text = text.or_else(|| by_name(Role::Text).filter(|&found| Some(found) != label));
        let label = label.or_else(|| by_name(Role::Label).filter(|&found| Some(found) != text));
        match (text, label) {
            (Some(text), Some(label)) if text != label => Ok((text, label)),
            // Of two columns the one that is not known is the other.
            (text, label) if width <= 2 => match (text, label) {
                (Some(text), _) => Ok((text, if self.first.index(text) == Some(0) { -1 } else { 0 })),
                (None, Some(label)) => Ok((if self.first.index(label) == Some(0) { 1 } else { 0 }, label)),
                (None, None) => Ok((0, -1)),
            },
            _ => Err(self.unknown_columns()),
        }
    }

    fn unknown_columns(&self) -> Error {
        let cells = self.first.cells.iter().enumerate();
        let listed: Vec<String> = cells.map(|(at, cell)| format!("{at} \"{}\"", clip(cell.trim()))).collect();
        let name = |at: usize| match self.first.cells.get(at) {
            Some(cell) if self.header && !cell.trim().is_empty() => clip(cell.trim()),
            _ => at.to_string(),
        };
        let filled: Vec<usize> =
            (0..self.first.cells.len()).filter(|&at| !self.first.cells[at].trim().is_empty()).collect();
        let example = match filled[..] {
            [.., text, label] => {
                format!(", such as --set data.text={} --set data.label={}", name(text), name(label))
            }
            _ => String::new(),
        };
        let message = format!(
            "has {} columns ({}), and nothing says which is the text and which the label; say so{example}; the \
             second text of a pair is data.text_pair",
            self.first.cells.len(),
            listed.join(", "),
        );
        Error::line(self.path, self.first.line, message)
    }

    /// Returns the position of a name in the header.
    fn find(&self, name: &str, role: Role) -> Result<i64> {
        let cells = || (0..).zip(&self.first.cells);
        let exact = || cells().filter(|(_, cell)| cell.trim() == name);
        let loose = || cells().filter(|(_, cell)| cell.trim().eq_ignore_ascii_case(name));
        let mut found: Vec<i64> = exact().map(|(position, _)| position).collect();
        if found.is_empty() {
            found = loose().map(|(position, _)| position).collect();
        }
        match found[..] {
            [position] => Ok(position),
            [] => {
                let known: Vec<String> =
                    self.first.cells.iter().map(|cell| format!("\"{}\"", cell.trim())).collect();
                let message = format!(
                    "no column \"{name}\" for the {}; the columns are {}",
                    role.word(),
                    known.join(", ")
                );
                Err(Error::line(self.path, self.first.line, message))
            }
            _ => {
                let message =
                    format!("two columns are named \"{name}\"; give the position of the {}", role.word());
                Err(Error::line(self.path, self.first.line, message))
            }
        }
    }

    fn record(&self, row: &Row, places: Places, source: &Source) -> Result<Option<Record>> {
        let (text, label) =
            (self.place(row, places.text, Role::Text)?, self.place(row, places.label, Role::Label)?);
        let pair = places.pair.map(|pair| self.place(row, pair, Role::Pair)).transpose()?;
        let (found, expected) = (row.cells.len(), self.first.cells.len());
        if text == label {
            let message = format!(
                "has one column only, for both text and label; found \"{}\"{}",
                row.shown(),
                self.separator(row)
            );
            return Err(Error::line(self.path, row.line, message));
        }
        if found != expected {
            let message = format!(
                "has {found} cells, line {} has {expected}: \"{}\"; {}",
                self.first.line,
                row.shown(),
                if self.is_csv() {
                    "a text with the separator in it stands in quotation marks"
                } else {
                    "a TSV has no quotation marks, so write a text with a tab in it as CSV or JSONL"
                }
            );
            return Err(Error::line(self.path, row.line, message));
        }
        let pair = pair.map(|pair| row.cells[pair].clone());
        record(self.path, row.line, row.cells[text].clone(), pair, &row.cells[label], source)
    }

    /// Returns the index of a column in one row.
    fn place(&self, row: &Row, position: i64, role: Role) -> Result<usize> {
        row.index(position).ok_or_else(|| {
            let (found, expected) = (row.cells.len(), self.first.cells.len());
            let first = if found == expected {
                self.separator(row)
            } else {
                format!(", line {} has {expected}", self.first.line)
            };
            let message = format!(
                "no column {position} for the {}; the line has {found} column(s): \"{}\"{first}",
                role.word(),
                row.shown()
            );
            Error::line(self.path, row.line, message)
        })
    }

    /// Returns whether a row has the names of the columns once more, as after joining two files.
    fn repeats_header(&self, row: &Row) -> bool {
        let name = |cell: &String| cell.trim_start_matches('\u{feff}').trim().to_owned();
        row.cells.len() > 1 && row.cells.iter().map(name).eq(self.first.cells.iter().map(name))
    }

    fn is_csv(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
    }

    /// Returns the cure for a row of one cell.
    fn separator(&self, row: &Row) -> String {
        let (found, expected) = (row.cells.len(), self.first.cells.len());
        if found != expected {
            return format!("; line {} has {expected} cells", self.first.line);
        }
        let separated = row.cells.first().is_some_and(|cell| cell.contains([',', ';']));
        match (self.is_csv(), separated) {
            (false, true) => "; where commas separate the columns, say data.format = \"csv\"".to_owned(),
            _ => String::new(),
        }
    }

    /// Refuses a first line that seems to be a header: its label is a word that no other line has, and all other labels
    /// are there several times.
    fn no_header(&self, list: &[Record]) -> Result<()> {
        let Some(first) = list.first() else { return Ok(()) };
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for record in list {
            *counts.entry(record.label.as_str()).or_default() += 1;
        }
        let word = first.label.parse::<f64>().is_err();
        let alone = counts.remove(first.label.as_str()) == Some(1);
        if word && alone && !counts.is_empty() && counts.values().all(|&count| count > 1) {
            let (text, label) = (clip(&first.text), clip(&first.label));
            let message = format!(
                "looks like a header (\"{text}\", \"{label}\"): no other line has the label \"{label}\"; say \
                 data.header = true if it names the columns, false if it is an example"
            );
            return Err(Error::line(self.path, first.line, message));
        }
        Ok(())
    }

    /// Refuses a table in which the last column seems to be the text: it is another one in each line, and the first
    /// column has few values.
    fn not_swapped(&self, list: &[Record]) -> Result<()> {
        const ENOUGH: usize = 4;
        let distinct = |value: fn(&Record) -> &str| {
            list.iter().map(value).collect::<std::collections::HashSet<_>>().len()
        };
        let (texts, labels) = (distinct(|record| &record.text), distinct(|record| &record.label));
        if list.len() >= ENOUGH && labels == list.len() && texts * 2 <= list.len() {
            let message = format!(
                "column 1 has another value in each of {} lines, column 0 only {texts}: the label seems to come first; \
                 say --set data.text=1 --set data.label=0, or data.label=1 if it is the label",
                list.len()
            );
            return Err(Error::file(self.path, message));
        }
        Ok(())
    }

    /// Returns a column in words.
    fn shown(&self, position: i64) -> String {
        let at = self.first.index(position);
        let number = at.map_or_else(|| position.to_string(), |at| at.to_string());
        match at.and_then(|at| self.first.cells.get(at)).filter(|_| self.header) {
            Some(name) => format!("column {number} \"{}\"", clip(name.trim())),
            None => format!("column {number}"),
        }
    }
}

/// Returns the beginning of a cell, for messages.
fn clip(cell: &str) -> String {
    const SHOWN: usize = 40;
    match cell.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &cell[..end]),
        None => cell.to_owned(),
    }
}
