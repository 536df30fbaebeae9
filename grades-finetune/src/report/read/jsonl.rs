//! Files of one JSON value a line.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde::de::DeserializeOwned;

/// The values of a file's lines; none when there is no such file.
///
/// A run that was killed may leave its last line unfinished: one that does not end in a line feed and cannot be read
/// is left out.
///
/// # Errors
///
/// When the file cannot be read, or a line is not what was expected; the error names file and line.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let mut values = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(value) => values.push(value),
            Err(_) if index + 1 == lines.len() => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Result<Vec<u64>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        std::fs::write(&path, bytes).unwrap();
        read(&path)
    }

    #[test]
    fn a_missing_file_an_empty_one_and_one_cut_short_are_read() {
        assert_eq!(read::<u64>(Path::new("/no/such/file")).unwrap(), [0; 0]);
        assert_eq!(of(b"").unwrap(), [0; 0]);
        assert_eq!(of(b"1\n2\n").unwrap(), [1, 2]);
        assert_eq!(of(b"1\n\n2").unwrap(), [1, 2]);
        assert_eq!(of(b"1\n2\n{\"a").unwrap(), [1, 2]);
        assert_eq!(of(b"1\n2\n\xff").unwrap(), [1, 2]);
    }

    #[test]
    fn a_damaged_line_is_named() {
        for bytes in [&b"1\nx\n3\n"[..], b"1\n{\"a\n", b"1\n-2\n3"] {
            let error = of(bytes).unwrap_err().to_string();
            assert!(error.contains("a.jsonl:2: "), "{error}");
            assert!(!error.contains("at line"), "{error}");
        }
    }
}
