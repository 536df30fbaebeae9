//! Rows of a file with commas between the cells and quotation marks around some of them.

use std::path::Path;

use csv::{ByteRecord, ReaderBuilder};

use super::error::{Error, Result};
use super::read::utf8;
use super::table::Row;

pub(super) fn rows<'a>(path: &'a Path, bytes: &'a [u8]) -> impl Iterator<Item = Result<Row>> + 'a {
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let mut record = ByteRecord::new();
    std::iter::from_fn(move || {
        let row = match reader.read_byte_record(&mut record) {
            Ok(false) => return None,
            Ok(true) => row(path, bytes, &record, reader.position().byte()),
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                Err(Error::line(path, line, error.to_string()))
            }
        };
        Some(row)
    })
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
