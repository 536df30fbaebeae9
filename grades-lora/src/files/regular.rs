//! Reading regular files, and nothing else.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Opens a regular file to read it; a link to one will do.
///
/// A pipe may never be written to and a device may never end, so that a program that reads one may wait or grow for ever.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for a pipe, a socket or a device; the system's error otherwise.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let found = std::fs::metadata(path)?.file_type();
    // A folder has an error of the system.
    if !found.is_file() && !found.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file but a pipe, a socket or a device; save its content as a file",
        ));
    }
    File::open(path)
}

/// Reads a regular file, as [`open_regular`] opens it.
///
/// # Errors
///
/// As for [`open_regular`], and the system's error when it cannot be read.
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a regular file that has text in UTF-8.
///
/// # Errors
///
/// As for [`read_regular`], and [`InvalidData`](io::ErrorKind::InvalidData) for other bytes.
pub fn read_regular_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open_regular(path)?.read_to_string(&mut text)?;
    Ok(text)
}
