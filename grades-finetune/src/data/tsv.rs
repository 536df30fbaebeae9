//! Rows of a file with tabs between the cells and no quoting.

use std::path::Path;

use super::content::{lines, utf8};
use super::error::Result;
use super::row::Row;

/// Reads all rows.
pub(super) fn rows(path: &Path, bytes: &[u8]) -> Result<Vec<Row>> {
    lines(bytes)
        .map(|(line, bytes)| {
            let cells = utf8(path, line, bytes)?.split('\t').map(str::to_owned).collect();
            Ok(Row { line, cells })
        })
        .collect()
}
