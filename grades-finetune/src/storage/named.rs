//! Files that the user names for a result.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use grades_models::files::atomic::{with_path, write_atomic};

/// Writes a result to the file that the user names. A regular file, or the one that a link leads to, is replaced in one step;
/// a pipe or a device is written into.
///
/// # Errors
///
/// The system's error, with the path in its text: for a folder, a link that leads nowhere, a pipe that nobody reads.
pub fn write_named(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let at = |error| with_path(error, path);
    let linked = path.symlink_metadata().is_ok_and(|found| found.is_symlink());
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(at(io::Error::from(io::ErrorKind::IsADirectory))),
        // Standard output may be a regular file that others write to as well.
        Ok(found) if !found.is_file() || path.starts_with("/dev") || path.starts_with("/proc") => {
            write_into(path, bytes).map_err(at)
        }
        Ok(_) if linked => write_atomic(&path.canonicalize().map_err(at)?, bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound && linked => {
            Err(at(io::Error::new(error.kind(), "is a link to a file that does not exist")))
        }
        _ => write_atomic(path, bytes),
    }
}

/// Writes into what is no regular file.
fn write_into(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Opening a pipe that nobody reads would wait for ever.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let mut file: File = OpenOptions::new().append(true).custom_flags(flags).open(path).map_err(|error| {
        match error.raw_os_error() {
            Some(code) if code == rustix::io::Errno::NXIO.raw_os_error() => {
                io::Error::new(error.kind(), "is a pipe that nobody reads")
            }
            _ => error,
        }
    })?;
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags - rustix::fs::OFlags::NONBLOCK)?;
    file.write_all(bytes)
}
