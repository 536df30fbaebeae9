//! A log file of JSON lines that outlasts a full disk.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};

use crate::storage::{Digest, RunningDigest};

/// The largest number of bytes that are buffered. Beyond it lines are lost and the log is marked incomplete.
const LIMIT: usize = 64 << 20;

/// A buffered log file. Lines that cannot be written stay in the buffer and are tried again, so that a disk that is full
/// for a while costs no line; as a writer it never fails.
///
/// A clone writes into the same file.
#[derive(Debug, Clone)]
pub(crate) struct BufferedJsonl(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    file: Arc<File>,
    /// The digest of all that the file has of this log.
    written: RunningDigest,
    buffer: Vec<u8>,
    error: Option<String>,
    /// Whether the error was reported.
    reported: bool,
    /// Whether the buffer was too small.
    lost: bool,
}

impl BufferedJsonl {
    /// Opens a log and cuts it to this length; creates it when there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be opened or cut, or ends within a line.
    pub(crate) fn open(path: &Path, length: u64) -> Result<Self> {
        let opened = || {
            let mut options = File::options();
            let mut file = options.read(true).write(true).create(true).truncate(false).open(path)?;
            file.set_len(length)?;
            if length > 0 {
                let mut last = [0];
                file.seek(SeekFrom::Start(length - 1))?;
                file.read_exact(&mut last)?;
                if last != *b"\n" {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "it was changed: a line has no end",
                    ));
                }
            }
            // Reading ends where writing begins.
            file.rewind()?;
            let written = RunningDigest::of_start(&mut file, length)?;
            Ok((file, written))
        };
        let (file, written) = opened().with_context(|| format!("cannot go on with {}", path.display()))?;
        Ok(Self::new(file, written))
    }

    /// Makes a log that goes on in a file after what is written.
    fn new(file: File, written: RunningDigest) -> Self {
        let inner = Inner {
            file: Arc::new(file),
            written,
            buffer: Vec::new(),
            error: None,
            reported: false,
            lost: false,
        };
        Self(Arc::new(Mutex::new(inner)))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the buffer; returns the digest of the log, or the fault that it has, as a sentence about the log.
    pub(crate) fn digest(&self) -> Result<Digest, String> {
        let mut inner = self.inner();
        inner.write_out();
        if let Some(reason) = &inner.error {
            return Err(format!("cannot be written: {reason}"));
        }
        let written = inner.written.bytes();
        match inner.file.metadata().map(|file| file.len()) {
            Ok(found) if found == written => Ok(inner.written.digest()),
            Ok(found) => {
                Err(format!("has {found} bytes, but {written} were written: another program changed it"))
            }
            Err(error) => Err(format!("cannot be measured: {error}")),
        }
    }

    /// Writes the buffer; returns why lines are missing.
    pub(crate) fn error(&self) -> Option<String> {
        let mut inner = self.inner();
        inner.write_out();
        inner.error.clone()
    }

    /// Returns why lines are missing, once per failure.
    pub(crate) fn new_error(&self) -> Option<String> {
        let mut inner = self.inner();
        let error = inner.error.clone();
        let reported = std::mem::replace(&mut inner.reported, error.is_some());
        error.filter(|_| !reported)
    }

    /// Returns the file, to sync it.
    pub(crate) fn file(&self) -> Arc<File> {
        Arc::clone(&self.inner().file)
    }
}

impl Inner {
    fn write_out(&mut self) {
        let mut done = 0;
        while !self.lost {
            let Some(rest) = self.buffer.get(done..).filter(|rest| !rest.is_empty()) else {
                self.error = None;
                break;
            };
            match (&*self.file).write(rest) {
                Ok(0) => {
                    self.error = Some(io::Error::from(io::ErrorKind::WriteZero).to_string());
                    break;
                }
                Ok(count) => {
                    self.written.add(rest.get(..count).unwrap_or_default());
                    done += count;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.error = Some(error.to_string());
                    break;
                }
            }
        }
        self.buffer.drain(..done);
        if self.buffer.len() > LIMIT {
            self.lost = true;
            self.buffer = Vec::new();
        }
    }
}

impl Write for BufferedJsonl {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.inner();
        if !inner.lost {
            inner.buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner().write_out();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_wait_until_they_can_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        // A handle that cannot be written, as on a full disk.
        std::fs::write(&path, "one\n").unwrap();
        let start = RunningDigest::of_start(&mut File::open(&path).unwrap(), 4).unwrap();
        let mut lines = BufferedJsonl::new(File::open(&path).unwrap(), start);
        lines.write_all(b"two\n").unwrap();
        lines.flush().unwrap();
        assert!(lines.digest().is_err() && lines.error().is_some());
        assert!(lines.new_error().is_some() && lines.new_error().is_none(), "it is reported once");
        let better = File::options().append(true).open(&path).unwrap();
        lines.inner().file = Arc::new(better);
        lines.write_all(b"three\n").unwrap();
        assert_eq!((lines.error(), lines.new_error()), (None, None));
        assert_eq!(lines.digest(), Ok(Digest::of(&path).unwrap()));
        assert_eq!(lines.digest().map(|digest| digest.bytes()), Ok(14));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
    }

    #[test]
    fn the_buffer_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "").unwrap();
        let mut lines = BufferedJsonl::new(File::open(&path).unwrap(), RunningDigest::default());
        for _ in 0..=LIMIT >> 20 {
            lines.write_all(&[b'x'; 1 << 20]).unwrap();
        }
        lines.flush().unwrap();
        assert!(lines.inner().lost && lines.inner().buffer.capacity() == 0);
        lines.inner().file = Arc::new(File::options().append(true).open(&path).unwrap());
        lines.write_all(b"more").unwrap();
        assert!(lines.error().is_some(), "what is missing stays missing");
        assert_eq!(std::fs::read(&path).unwrap().len(), 0);
    }

    #[test]
    fn a_log_goes_on_after_a_break_and_notices_other_writers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut lines = BufferedJsonl::open(&path, 0).unwrap();
        lines.write_all(b"one\ntwo\n").unwrap();
        assert_eq!(lines.digest(), Ok(Digest::of(&path).unwrap()));
        let mut again = BufferedJsonl::open(&path, 4).unwrap();
        again.write_all(b"three\n").unwrap();
        assert_eq!(again.digest(), Ok(Digest::of(&path).unwrap()));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\nthree\n");
        File::options().append(true).open(&path).unwrap().write_all(b"x").unwrap();
        let error = again.digest().unwrap_err();
        assert_eq!(error, "has 11 bytes, but 10 were written: another program changed it");
    }
}
