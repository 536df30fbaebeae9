//! Finds the separator of a CSV file.

use csv::{ByteRecord, ReaderBuilder};

/// Returns the separator of a CSV file by its first row: the one that gives the most cells, the comma of equal ones.
pub(super) fn separator(beginning: &[u8]) -> u8 {
    let cells = |separator: u8| {
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(separator)
            .from_reader(beginning);
        let mut row = ByteRecord::new();
        reader.read_byte_record(&mut row).map_or(0, |_| row.len())
    };
    if cells(b',') > 1 {
        return b',';
    }
    [b';', b'\t', b'|'].into_iter().find(|&separator| cells(separator) > 1).unwrap_or(b',')
}
