//! Labelled sentences and pairs of them, and where a file has them.

use std::path::{Path, PathBuf};

use super::column::{Column, Format, Header};
use super::error::{Error, Result};

/// Where the examples of a file are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    /// The form of the file; by its extension when absent.
    pub format: Option<Format>,
    /// The column of the text, or of the first text of a pair.
    pub text: Column,
    /// The column of the second text of a pair; [`Column::Auto`] finds it beside a first one, where both have the names of a
    /// pair and `text` names no other column.
    pub text_pair: Column,
    /// The column of the label.
    pub label: Column,
    /// Whether the first line names the columns; JSONL has none.
    pub header: Header,
    /// Whether rows with a negative label are left out; they are refused otherwise.
    pub skip_unlabelled: bool,
}

/// One labelled sentence, or pair of sentences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The line of the file where it begins, counted from 1.
    pub line: u64,
    /// The sentence, as it is in the file.
    pub text: String,
    /// The second sentence of a pair.
    pub pair: Option<String>,
    /// The label's word or number, without spaces around it.
    pub label: String,
}

/// The examples of one file, at least one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Records {
    /// The file, for messages.
    pub path: PathBuf,
    /// The examples in the order of the file.
    pub list: Vec<Record>,
    /// Whether the first line is a header.
    pub header: bool,
    /// The columns that were read, in words; absent for examples that are from no file.
    pub columns: Option<Columns>,
    /// The number of rows without a label that were left out.
    pub unlabelled: usize,
}

/// The columns of the texts and of the label, in words such as `column 1 "review"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// The column of the text.
    pub text: String,
    /// The column of the second text, of pairs.
    pub pair: Option<String>,
    /// The column of the label.
    pub label: String,
}

/// Checks one example; texts and label are as in the file. Returns `None` for an example without a label that is to
/// be left out.
pub(super) fn record(
    path: &Path,
    line: u64,
    text: String,
    pair: Option<String>,
    label: &str,
    source: &Source,
) -> Result<Option<Record>> {
    let label = label.trim();
    if label.is_empty() {
        return Err(Error::line(path, line, "the label is empty"));
    }
    match Number::of(label) {
        Some(Number::Negative) if source.skip_unlabelled => return Ok(None),
        Some(Number::Negative) => {
            let message = format!(
                "the label is {label}: a negative number is no class (such numbers mark examples without a label); \
                 data.skip_unlabelled = true leaves these examples out"
            );
            return Err(Error::line(path, line, message));
        }
        Some(Number::Decimal) => {
            let message = format!(
                "the label is {label}: a decimal number is no class; write whole numbers or words, such as 1 for 1.0"
            );
            return Err(Error::line(path, line, message));
        }
        Some(Number::Missing) => {
            return Err(Error::line(path, line, format!("the label is {label}: it is missing")));
        }
        None => {}
    }
    if text.trim().is_empty() {
        return Err(Error::line(path, line, "the text is empty"));
    }
    if pair.as_ref().is_some_and(|pair| pair.trim().is_empty()) {
        return Err(Error::line(path, line, "the second text of the pair is empty"));
    }
    Ok(Some(Record { line, text, pair, label: label.to_owned() }))
}

/// Numbers that are no class.
enum Number {
    Negative,
    Decimal,
    Missing,
}

impl Number {
    fn of(label: &str) -> Option<Self> {
        if label.parse::<u64>().is_ok() {
            return None;
        }
        if label.parse::<i64>().is_ok_and(|number| number < 0) {
            return Some(Self::Negative);
        }
        let number: f64 = label.parse().ok()?;
        if number.is_nan() {
            return Some(Self::Missing);
        }
        // "inf" and "infinity" are words, too.
        if !label.contains(|letter: char| letter.is_ascii_digit()) {
            return None;
        }
        // Whole numbers beyond u64 and those with a plus are names like others.
        let digits = label.trim_start_matches(['+', '-']);
        if digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        Some(if number < 0.0 { Self::Negative } else { Self::Decimal })
    }
}
