//! Rows of a file with tabs between the cells and no quoting.

use std::path::Path;

use super::error::Result;
use super::read::{lines, utf8};
use super::table::Row;

pub(super) fn rows<'a>(path: &'a Path, bytes: &'a [u8]) -> impl Iterator<Item = Result<Row>> + 'a {
    lines(bytes).map(move |(line, bytes)| {
        let cells = utf8(path, line, bytes)?.split('\t').map(str::to_owned).collect();
        Ok(Row { line, cells })
    })
}
