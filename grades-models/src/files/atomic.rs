//! A file that replaces its destination in one step.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

/// The end of every temporary name, of files and folders; the name begins with a dot.
pub const SUFFIX: &str = ".tmp";

/// A file being written under a temporary name beside its destination; dropping it removes the temporary file.
#[derive(Debug)]
pub struct AtomicFile {
    writer: BufWriter<File>,
    temporary: TempPath,
    destination: PathBuf,
}

impl AtomicFile {
    /// Opens a temporary file in the folder of `destination`.
    ///
    /// # Errors
    ///
    /// The system's error when the folder does not exist or cannot be written, and
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when the destination is there and is a link, a pipe or a device, which
    /// are not replaced; with the path in the text.
    pub fn create(destination: &Path) -> io::Result<Self> {
        replaceable(destination).map_err(|error| with_path(error, destination))?;
        let name = destination.file_name().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{} names no file", destination.display()))
        })?;
        let mut prefix = OsString::from(".");
        prefix.push(name);
        prefix.push(".");
        // Opened here: tempfile's own files are readable by their owner alone, and its errors name the temporary path.
        let open = |path: &Path| OpenOptions::new().write(true).create_new(true).open(path);
        let file = tempfile::Builder::new()
            .prefix(&prefix)
            .suffix(SUFFIX)
            .make_in(folder_of(destination), open)
            .map_err(|error| with_path(error, destination))?;
        let (file, temporary) = file.into_parts();
        let writer = BufWriter::with_capacity(1 << 18, file);
        Ok(Self { writer, temporary, destination: destination.to_path_buf() })
    }

    /// Flushes everything to the disk and closes the file; the destination is not touched yet.
    ///
    /// # Errors
    ///
    /// The system's error when the disk is full or fails, with the destination in its text.
    pub fn stage(self) -> io::Result<Staged> {
        let Self { writer, temporary, destination } = self;
        let file = writer.into_inner().map_err(|error| with_path(error.into_error(), &destination))?;
        file.sync_all().map_err(|error| with_path(error, &destination))?;
        Ok(Staged { temporary, destination })
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes).map_err(|error| with_path(error, &self.destination))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush().map_err(|error| with_path(error, &self.destination))
    }
}

/// A complete file on the disk that waits to be renamed over its destination; dropping it removes it.
#[derive(Debug)]
pub struct Staged {
    temporary: TempPath,
    destination: PathBuf,
}

impl Staged {
    /// Renames the file over its destination.
    ///
    /// # Errors
    ///
    /// The system's error (the destination is a folder, for instance), with the path in its text.
    pub fn commit(self) -> io::Result<()> {
        sync_folder(&self.rename()?)
    }

    fn rename(self) -> io::Result<PathBuf> {
        let Self { temporary, destination } = self;
        std::fs::rename(&temporary, &destination).map_err(|error| with_path(error, &destination))?;
        // The temporary name is gone: nothing is left to remove.
        let _ = temporary.keep();
        Ok(destination)
    }
}

/// Renames every file over its destination, in the order given.
///
/// # Errors
///
/// The first rename that fails; the files before it are in place, the others are removed.
pub fn commit_all(files: Vec<Staged>) -> io::Result<()> {
    let mut last = None;
    for file in files {
        last = Some(file.rename()?);
    }
    last.map_or(Ok(()), |destination| sync_folder(&destination))
}

/// Replaces the file at `destination` by `bytes` in one step.
///
/// # Errors
///
/// The system's error, with the path in its text; the old file is then unchanged.
pub fn write_atomic(destination: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(destination)?;
    file.write_all(bytes)?;
    file.stage()?.commit()
}

/// Refuses to replace what is no regular file, such as a link. A folder is refused when the file is renamed.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput), with the kind of file in its text.
pub fn replaceable(destination: &Path) -> io::Result<()> {
    let Ok(found) = destination.symlink_metadata() else { return Ok(()) };
    let kind = match found.file_type() {
        kind if kind.is_file() || kind.is_dir() => return Ok(()),
        kind if kind.is_symlink() => "a link",
        _ => "a pipe, a socket or a device",
    };
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("is {kind}, which is not replaced; remove it first"),
    ))
}

/// Flushes the folder of a file to the disk: a rename is durable only after that.
///
/// # Errors
///
/// None: some file systems refuse to flush a folder, and the file itself is already safe.
pub fn sync_folder(file: &Path) -> io::Result<()> {
    // Some file systems refuse to sync a folder; the file itself is already safe.
    if let Ok(handle) = File::open(folder_of(file)) {
        let _ = handle.sync_all();
    }
    Ok(())
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Puts a path before the text of a system's error; its kind stays.
pub fn with_path(error: io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the names in a folder, sorted.
    fn names(dir: &Path) -> Vec<OsString> {
        let mut names: Vec<OsString> =
            std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_only_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_atomic(&path, b"old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        drop(file);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["a"]);
        write_atomic(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["a"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_can_be_read_by_others_as_the_umask_allows() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (plain, atomic) = (dir.path().join("plain"), dir.path().join("atomic"));
        std::fs::write(&plain, "").unwrap();
        write_atomic(&atomic, b"").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&atomic), mode(&plain));
    }

    #[test]
    fn temporary_files_have_names_that_a_sweep_knows() {
        let dir = tempfile::tempdir().unwrap();
        let _file = AtomicFile::create(&dir.path().join("a")).unwrap();
        let names = names(dir.path());
        let name = names[0].to_string_lossy();
        assert!(names.len() == 1 && name.starts_with(".a.") && name.ends_with(SUFFIX), "{name}");
    }

    #[test]
    fn files_are_replaced_together() {
        let dir = tempfile::tempdir().unwrap();
        let staged = ["a", "b"].map(|name| {
            let mut file = AtomicFile::create(&dir.path().join(name)).unwrap();
            file.write_all(name.as_bytes()).unwrap();
            file.stage().unwrap()
        });
        assert!(!dir.path().join("a").exists());
        commit_all(staged.into()).unwrap();
        assert_eq!(names(dir.path()), ["a", "b"]);
    }

    #[test]
    fn errors_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().join("gone").join("a"), dir.path().join("..")] {
            let error = write_atomic(&path, b"").unwrap_err().to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
    }
}
