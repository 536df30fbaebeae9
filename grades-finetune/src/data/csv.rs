//! Rows of a file with commas between the cells and quotation marks around some of them.

use std::path::Path;

use csv::{ByteRecord, ReaderBuilder};

use super::content::utf8;
use super::error::{Error, Result};
use super::row::Row;

/// Reads all rows. Where commas do not give rows of equal length, and semicolons, tabs or bars do, those separate the
/// cells.
pub(super) fn rows(path: &Path, bytes: &[u8]) -> Result<Vec<Row>> {
    let commas = separated(path, bytes, b',');
    if commas.as_ref().is_ok_and(|rows| even(rows)) {
        return commas;
    }
    for separator in [b';', b'\t', b'|'] {
        if let Ok(rows) = separated(path, bytes, separator)
            && even(&rows)
        {
            return Ok(rows);
        }
    }
    commas
}

/// Returns whether the rows have the same number of cells, at least two.
fn even(rows: &[Row]) -> bool {
    let width = rows.first().map_or(0, |row| row.cells.len());
    width >= 2 && rows.iter().all(|row| row.cells.len() == width)
}

fn separated(path: &Path, bytes: &[u8], separator: u8) -> Result<Vec<Row>> {
    let mut reader =
        ReaderBuilder::new().has_headers(false).flexible(true).delimiter(separator).from_reader(bytes);
    let mut record = ByteRecord::new();
    let mut rows = Vec::new();
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(false) => return Ok(rows),
            Ok(true) => rows.push(row(path, bytes, &record, reader.position().byte())?),
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                return Err(Error::line(path, line, error.to_string()));
            }
        }
    }
}

fn row(path: &Path, bytes: &[u8], record: &ByteRecord, end: u64) -> Result<Row> {
    let position = record.position();
    let index = |byte: u64| usize::try_from(byte).unwrap_or(bytes.len()).min(bytes.len());
    let (start, end) = (index(position.map_or(0, csv::Position::byte)), index(end));
    let raw = bytes.get(start..end).unwrap_or_default();
    // The reader places a row before the empty lines that it skips.
    let skipped = raw.iter().take_while(|&&byte| byte == b'\n' || byte == b'\r');
    let skipped = skipped.filter(|&&byte| byte == b'\n').count();
    let line = position.map_or(0, csv::Position::line) + u64::try_from(skipped).unwrap_or(0);
    // A quote that is never closed takes in the rest of the file, without an error of the reader.
    let quotes = raw.iter().filter(|&&byte| byte == b'"').count();
    let spans = raw.trim_ascii().contains(&b'\n');
    if end == bytes.len() && spans && quotes % 2 == 1 {
        let message = "a quotation mark opened in this row is never closed; write \"\" for a quotation mark \
                       inside a quoted cell";
        return Err(Error::line(path, line, message));
    }
    let cells = record.iter().map(|cell| utf8(path, line, cell).map(str::to_owned));
    Ok(Row { line, cells: cells.collect::<Result<_>>()? })
}
