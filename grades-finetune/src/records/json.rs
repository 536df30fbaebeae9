//! Reads and writes records as JSON, and names file and line of what is damaged.

use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The state in which the last line of a log may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// A run that was killed may have left its last line unfinished: a line that does not end in a line feed and cannot
    /// be read is left out.
    MayBeCut,
    /// The run has ended, so every line is whole.
    Whole,
}

/// Reads the records of a log, one JSON value a line; none when there is no such file.
///
/// # Errors
///
/// When the file cannot be read, or a line is not the record that was expected; the error names file and line.
pub fn read_lines<T: DeserializeOwned>(path: &Path, ending: Ending) -> Result<Vec<T>> {
    let Some(bytes) = read(path)? else { return Ok(Vec::new()) };
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let mut values = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(value) => values.push(value),
            Err(_) if index + 1 == lines.len() && ending == Ending::MayBeCut => {}
            Err(error) => {
                // serde counts lines of its own; there is one only.
                let text = error.to_string();
                let reason = text.split(" at line ").next().unwrap_or_default();
                return Err(anyhow!("{}:{}: {reason}", path.display(), index + 1));
            }
        }
    }
    Ok(values)
}

/// Adds a record to a log.
///
/// # Errors
///
/// When it cannot be written.
pub fn write_line(writer: &mut impl Write, record: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    writer.write_all(&line)?;
    Ok(())
}

/// Reads a record that is a file of its own; `None` when there is no such file.
pub(super) fn read_file<T: DeserializeOwned>(path: &Path, expected: &str) -> Result<Option<T>> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    let value = serde_json::from_slice(&bytes);
    value.map(Some).with_context(|| format!("{}: expected {expected}", path.display()))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match grades_lora::read_regular(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8], ending: Ending) -> Result<Vec<u64>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        std::fs::write(&path, bytes).unwrap();
        read_lines(&path, ending)
    }

    #[test]
    fn a_missing_file_an_empty_one_and_one_cut_short_are_read() {
        let gone = read_lines::<u64>(Path::new("/no/such/file"), Ending::MayBeCut);
        assert_eq!(gone.unwrap(), [0; 0]);
        let of = |bytes| of(bytes, Ending::MayBeCut).unwrap();
        assert_eq!(of(b""), [0; 0]);
        assert_eq!(of(b"1\n2\n"), [1, 2]);
        assert_eq!(of(b"1\n\n2"), [1, 2]);
        assert_eq!(of(b"1\n2\n{\"a"), [1, 2]);
        assert_eq!(of(b"1\n2\n\xff"), [1, 2]);
    }

    #[test]
    fn a_damaged_line_is_named() {
        for bytes in [&b"1\nx\n3\n"[..], b"1\n{\"a\n", b"1\n-2\n3"] {
            let error = of(bytes, Ending::MayBeCut).unwrap_err().to_string();
            assert!(error.contains("a.jsonl:2: "), "{error}");
            assert!(!error.contains("at line"), "{error}");
        }
        let error = of(b"1\n2\n{\"a", Ending::Whole).unwrap_err().to_string();
        assert!(error.contains("a.jsonl:3: "), "{error}");
    }
}
