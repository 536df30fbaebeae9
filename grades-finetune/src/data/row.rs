//! One row of a table.

/// The cells of a row.
#[derive(Debug)]
pub(super) struct Row {
    /// The line of the file where it begins, counted from 1.
    pub(super) line: u64,
    pub(super) cells: Vec<String>,
}

impl Row {
    /// Returns the index of a position, which counts from the end when it is negative.
    pub(super) fn index(&self, position: i64) -> Option<usize> {
        let count = i64::try_from(self.cells.len()).ok()?;
        let position = if position < 0 { position.checked_add(count)? } else { position };
        usize::try_from(position).ok().filter(|&at| at < self.cells.len())
    }

    /// Returns the beginning of the row, for messages.
    pub(super) fn shown(&self) -> String {
        const SHOWN: usize = 60;
        let text = self.cells.join(" | ");
        match text.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }
}
