//! Reads files of labelled sentences.

use std::path::Path;

use super::column::Format;
use super::error::{Error, Result};
use super::record::{Records, Source};
use super::{content, csv, jsonl, table, tsv};

/// Reads all examples of a file.
///
/// Empty lines are skipped; a byte order mark is dropped; UTF-16 with one is decoded.
///
/// # Errors
///
/// [`Error::Io`] when the file cannot be read, [`Error::File`] when its format is unknown or it has no
/// examples or its columns are unknown, [`Error::Line`] for a line that is not valid UTF-8, has another number of cells
/// or has no text or no class.
pub fn read(path: &Path, source: &Source) -> Result<Records> {
    let format = source.format.or_else(|| Format::from_path(path)).ok_or_else(|| unknown_format(path))?;
    let bytes = content::read(path)?;
    let records = match format {
        Format::Tsv => table::records(path, tsv::rows(path, &bytes)?, source)?,
        Format::Csv => table::records(path, csv::rows(path, &bytes)?, source)?,
        Format::Jsonl => jsonl::records(path, &bytes, source)?,
    };
    if records.list.is_empty() {
        let message = match (records.header, records.unlabelled) {
            (_, 1..) => "has no examples with a label",
            (true, 0) => "has a header but no examples",
            (false, 0) => "has no examples",
        };
        return Err(Error::file(path, message));
    }
    Ok(records)
}

fn unknown_format(path: &Path) -> Error {
    let json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let cure = if json {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        format!(
            ": for one object a line data.format = \"jsonl\"; of a JSON array `jq -c '.[]' {name} > lines.jsonl` makes \
             one object a line"
        )
    } else {
        String::new()
    };
    let message = "the extension names no format; expected .tsv, .csv or .jsonl, or give the format";
    Error::file(path, format!("{message}{cure}"))
}
