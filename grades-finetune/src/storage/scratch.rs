//! A file that only its process sees.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use grades_models::files::atomic::{SUFFIX, with_path};

/// A file without a name: the system frees its space once it is closed, also when the process is killed.
#[derive(Debug)]
pub struct ScratchFile(File);

impl ScratchFile {
    /// Creates a file in a folder.
    ///
    /// # Errors
    ///
    /// The system's error, with the path in its text.
    pub fn create(folder: &Path, name: &str) -> io::Result<Self> {
        // Should the process be killed right here, `sweep` removes it.
        let path = folder.join(format!(".{name}.{}{SUFFIX}", std::process::id()));
        let created = || {
            let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
            std::fs::remove_file(&path)?;
            Ok(Self(file))
        };
        created().map_err(|error| with_path(error, &path))
    }

    /// Writes bytes at a position.
    ///
    /// # Errors
    ///
    /// The system's error, such as a full disk; the bytes there are then undefined.
    pub fn write_at(&mut self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(position))?;
        self.0.write_all(bytes)
    }

    /// Fills `bytes` from a position on.
    ///
    /// # Errors
    ///
    /// The system's error, also where the file ends before.
    pub fn read_at(&mut self, bytes: &mut [u8], position: u64) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(position))?;
        self.0.read_exact(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_file_is_read_where_it_was_written_and_is_in_no_folder() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = ScratchFile::create(dir.path(), "states").unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        file.write_at(b"later", 10).unwrap();
        file.write_at(b"first", 0).unwrap();
        let mut bytes = [0; 5];
        file.read_at(&mut bytes, 10).unwrap();
        assert_eq!(&bytes, b"later");
        file.read_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"first");
        assert!(file.read_at(&mut bytes, 12).is_err());
        let missing = ScratchFile::create(&dir.path().join("none"), "states").unwrap_err().to_string();
        assert!(missing.contains("none"), "{missing}");
    }
}
