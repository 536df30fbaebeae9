//! Bytes of data files: their encoding and their lines.

use std::borrow::Cow;
use std::path::Path;

use super::error::{Error, Result};

/// Reads a regular file as UTF-8 bytes, without a byte order mark; UTF-16 with one is decoded.
///
/// # Errors
///
/// [`Error::Io`] when the file cannot be read or is no regular one, [`Error::File`] for what is no text.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let io = |source| Error::Io { path: path.to_path_buf(), source };
    if path.is_dir() {
        return Err(Error::file(path, "is no regular file"));
    }
    let bytes = grades_lora::read_regular(path).map_err(io)?;
    Ok(match decoded(path, &bytes)? {
        Cow::Borrowed(rest) if rest.len() == bytes.len() => bytes,
        decoded => decoded.into_owned(),
    })
}

/// Returns the length of the byte order mark at the beginning of a file that is read a line at a time.
///
/// # Errors
///
/// [`Error::File`] for what is no UTF-8 text.
pub(super) fn mark(path: &Path, beginning: &[u8]) -> Result<usize> {
    let name = match beginning {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => None,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        _ => None,
    };
    if let Some(name) = name {
        return Err(Error::file(path, format!("is {name}; {}", convert(path, name))));
    }
    decoded(path, beginning).map(|rest| beginning.len() - rest.len())
}

fn decoded<'a>(path: &Path, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>> {
    if let Some(rest) = bytes.strip_prefix(b"\xef\xbb\xbf") {
        return Ok(Cow::Borrowed(rest));
    }
    // Before UTF-16, whose mark the one of UTF-32 begins with.
    if bytes.starts_with(b"\xff\xfe\0\0") || bytes.starts_with(b"\0\0\xfe\xff") {
        return Err(Error::file(path, format!("is UTF-32; {}", convert(path, "UTF-32"))));
    }
    let units = |rest: &[u8], unit: fn([u8; 2]) -> u16| -> Option<String> {
        let pairs = rest.chunks_exact(2);
        if !pairs.remainder().is_empty() {
            return None;
        }
        let units: Vec<u16> = pairs.filter_map(|pair| pair.try_into().ok()).map(unit).collect();
        String::from_utf16(&units).ok()
    };
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => Some(units(rest, u16::from_le_bytes)),
        [0xfe, 0xff, rest @ ..] => Some(units(rest, u16::from_be_bytes)),
        _ => None,
    };
    if let Some(text) = text {
        let text = text.ok_or_else(|| {
            Error::file(path, "begins with the mark of UTF-16, but is not valid UTF-16; write the file again")
        })?;
        return Ok(Cow::Owned(text.into_bytes()));
    }
    let packed: [(&[u8], &str); 4] = [
        (b"\x1f\x8b", "is compressed by gzip; `gunzip` unpacks it"),
        (b"PK\x03\x04", "is a zip archive or a spreadsheet; unpack it, or save the sheet as CSV"),
        (
            b"PAR1",
            "is Parquet; write it as JSONL, such as with pandas' to_json(orient=\"records\", lines=True)",
        ),
        (b"ARROW1", "is Arrow; write it as JSONL, such as with datasets' to_json"),
    ];
    if let Some((_, message)) = packed.iter().find(|(start, _)| bytes.starts_with(start)) {
        return Err(Error::file(path, *message));
    }
    let beginning = bytes.get(..bytes.len().min(4096)).unwrap_or_default();
    let zeros = beginning.iter().filter(|&&byte| byte == 0).count();
    if zeros * 4 >= beginning.len() && zeros > 1 {
        let name = if beginning.first() == Some(&0) { "UTF-16BE" } else { "UTF-16LE" };
        let message =
            format!("has a zero in every few bytes, as UTF-16 without a mark has; {}", convert(path, name));
        return Err(Error::file(path, message));
    }
    Ok(Cow::Borrowed(bytes))
}

/// Returns the command that makes UTF-8 of a file.
fn convert(path: &Path, from: &str) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("`iconv -f {from} -t UTF-8 {name} > utf8-{name}` makes UTF-8 of it")
}

/// Returns bytes as text, or the error that names the line.
pub(super) fn utf8<'a>(path: &Path, line: u64, bytes: &'a [u8]) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|error| {
        let message = format!(
            "not valid UTF-8, from byte {} of the line or cell on; if the file is Latin-1, {}",
            error.valid_up_to() + 1,
            convert(path, "ISO-8859-1")
        );
        Error::line(path, line, message)
    })
}

/// Returns the lines of a file with their numbers, without their ends and without the empty ones.
///
/// Lines end with a line feed, after a carriage return or not; in a file without line feeds, with a carriage return.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let end = if bytes.contains(&b'\n') { b'\n' } else { b'\r' };
    (1..)
        .zip(bytes.split(move |&byte| byte == end))
        .map(|(number, line)| (number, line.strip_suffix(b"\r").unwrap_or(line)))
        .filter(|(_, line)| !line.is_empty())
}

/// Parses one line of JSONL.
///
/// # Errors
///
/// [`Error::Line`] for a line that is no JSON object, with a way to make it one where the reason is known.
pub(super) fn object<T: serde::de::DeserializeOwned>(path: &Path, line: u64, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let trimmed = text.trim();
        let cure = if line == 1 && trimmed.starts_with('[') {
            format!("; the file is a JSON array: `jq -c '.[]' {name} > lines.jsonl` writes one object a line")
        } else if trimmed.ends_with(',') {
            "; remove the comma at the end of the line".to_owned()
        } else if error.is_eof() && trimmed.starts_with('{') {
            format!("; if an object is spread over several lines: `jq -c . {name} > lines.jsonl`")
        } else if ["NaN", "Infinity"].iter().any(|word| trimmed.contains(word)) {
            "; NaN and Infinity are no JSON: write null or leave the line out".to_owned()
        } else if ["surrogate", "hex escape"].iter().any(|word| error.to_string().contains(word)) {
            "; half of a surrogate pair is no character: the text was cut inside an emoji".to_owned()
        } else {
            String::new()
        };
        Error::line(path, line, format!("expected one JSON object a line: {error}{cure}"))
    })
}
