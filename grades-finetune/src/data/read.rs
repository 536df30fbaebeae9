//! Reading a file of labelled sentences.

use std::path::{Path, PathBuf};

use super::column::{Column, Format, Header};
use super::error::{Error, Result};
use super::{csv, jsonl, table, tsv};

/// Where the examples of a file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The form of the file; by its extension when absent.
    pub format: Option<Format>,
    /// The column of the text.
    pub text: Column,
    /// The column of the label.
    pub label: Column,
    /// Whether the first line names the columns; JSONL has none.
    pub header: Header,
}

/// One labelled sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The line of the file where it begins, counted from 1.
    pub line: u64,
    /// The sentence, as it is in the file.
    pub text: String,
    /// The label's word or number, without spaces around it.
    pub label: String,
}

/// The examples of one file, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    /// The file, for messages.
    pub path: PathBuf,
    /// The examples in the order of the file.
    pub list: Vec<Record>,
    /// Whether the first line was taken for a header.
    pub header: bool,
}

/// Reads all examples of a file.
///
/// Empty lines are skipped; a byte order mark is dropped.
///
/// # Errors
///
/// [`Error::Io`] when the file cannot be read, [`Error::File`] when its format is unknown or it has no
/// examples or not the column asked for, [`Error::Line`] for a line that is not valid UTF-8, lacks a column
/// or has an empty text or label.
pub fn read(path: &Path, source: &Source) -> Result<Records> {
    let format = source.format.or_else(|| Format::from_path(path)).ok_or_else(|| {
        Error::file(path, "the extension tells no format; expected .tsv, .csv or .jsonl, or give the format")
    })?;
    let bytes = std::fs::read(path).map_err(|error| Error::Io { path: path.to_path_buf(), source: error })?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let (list, header) = match format {
        Format::Tsv => table::records(path, tsv::rows(path, bytes), source)?,
        Format::Csv => table::records(path, csv::rows(path, bytes), source)?,
        Format::Jsonl => (jsonl::records(path, bytes, source)?, false),
    };
    if list.is_empty() {
        let message = if header { "has a header but no examples" } else { "has no examples" };
        return Err(Error::file(path, message));
    }
    Ok(Records { path: path.to_path_buf(), list, header })
}

/// Checks one example; `text` and `label` are as in the file.
pub(super) fn record(path: &Path, line: u64, text: String, label: &str) -> Result<Record> {
    if text.trim().is_empty() {
        return Err(Error::line(path, line, "the text is empty"));
    }
    let label = label.trim();
    if label.is_empty() {
        return Err(Error::line(path, line, "the label is empty"));
    }
    Ok(Record { line, text, label: label.to_owned() })
}

/// Bytes as text, or the error that names the line.
pub(super) fn utf8<'a>(path: &Path, line: u64, bytes: &'a [u8]) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|error| {
        let message =
            format!("not valid UTF-8, from byte {} of the line or cell on", error.valid_up_to() + 1);
        Error::line(path, line, message)
    })
}

/// The lines of a file with their numbers, without their ends and without the empty ones.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    (1..)
        .zip(bytes.split(|&byte| byte == b'\n'))
        .map(|(number, line)| (number, line.strip_suffix(b"\r").unwrap_or(line)))
        .filter(|(_, line)| !line.is_empty())
}
